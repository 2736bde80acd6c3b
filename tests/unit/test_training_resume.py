"""What a run may resume with, and what is refused before anything is read."""

import pytest

from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.training.resume import refuse_other_run
from tests.runs import write_run


@pytest.mark.parametrize("schedule, is_refused", [("staircase", False), ("constant", False),
                                                  ("cosine", True)])
def test_resume_for_more_epochs_is_refused_where_the_learning_rate_depends_on_them(
        tmp_path, schedule, is_refused):
    write_run(tmp_path, ["ant", "bee"], schedule=schedule, epochs=2.0)
    longer = Config.read(tmp_path / "config.json").replace(epochs=3.0)
    if not is_refused:
        refuse_other_run(longer)
        return
    with pytest.raises(UsageError, match="--epochs=2.0, now 3.0"):
        refuse_other_run(longer)
