"""Image folders: data_dir/SPLIT/CLASS/*.jpg."""

import os

from inception_tf.data.sources import Record, Source
from inception_tf.errors import DataError, UsageError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


class FolderSource(Source):
    """Files sorted by class, then by name; classes are those of the train split.

    Of a name that is not UTF-8, class names and ids have the other bytes as `\\udcXX`.
    """

    def __init__(self, data, split):
        root = os.path.expanduser(data.data_dir)
        if not root:
            raise UsageError("--dataset=folder needs --data_dir=DIR with DIR/SPLIT/CLASS/*.jpg")
        self._folder = _split_folder(root, split)
        classes = _reference_classes(root, data.train_split, split)
        self._files = []
        sizes = []
        for label, name in enumerate(classes):
            for file_name, size in _images(os.path.join(self._folder, name)):
                self._files.append((os.path.join(name, file_name), label))
                sizes.append((name, file_name, size))
        super().__init__("folder", split, len(self._files), map(_text, classes), sizes)

    def describe(self, index):
        return _text(f"{self.split}/{self._files[index][0]}")

    def _read(self, index):
        path, label = self._files[index]
        with open(os.path.join(self._folder, path), "rb") as file:
            return Record(file.read(), label, self.describe(index))


def _text(name):
    """`name` as standard output has it: TensorFlow and files take no half of a character."""
    return name.encode(errors="backslashreplace").decode()


def _split_folder(root, split):
    if not os.path.isdir(root):
        raise UsageError(f"--data_dir={root} is not a folder")
    folder = os.path.join(root, split)
    if not os.path.isdir(folder):
        known = ", ".join(_subfolders(root)) or "none"
        raise UsageError(f"no split {split!r} in --data_dir={root}; folders there: {known}")
    return folder


def _reference_classes(root, train_split, split):
    """Classes of the train split; those of `split` when only that exists."""
    own = _subfolders(os.path.join(root, split))
    reference = os.path.join(root, train_split)
    classes = _subfolders(reference) if os.path.isdir(reference) else own
    unknown = sorted(set(own) - set(classes))
    if unknown:
        raise DataError(f"{split}/{unknown[0]}: no such class in {train_split}/ of "
                        f"--data_dir={root} ({len(unknown)} of {len(own)} classes are unknown)")
    return classes


def _subfolders(folder):
    return sorted(e.name for e in os.scandir(folder) if e.is_dir() and e.name[0] != ".")


def _images(folder):
    """Sorted (name, bytes) of the image files in a class folder, which may be missing."""
    if not os.path.isdir(folder):
        return []
    return sorted((e.name, e.stat().st_size) for e in os.scandir(folder)
                  if e.name.lower().endswith(EXTENSIONS) and e.name[0] != ".")
