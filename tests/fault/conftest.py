"""Images and one uninterrupted run, for the runs that are killed."""

import pytest

from tests.fault.runs import train_to_the_end
from tests.pictures import write_image_folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images"), {"train": 40, "validation": 43})


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    train_to_the_end(images, folder)
    return folder
