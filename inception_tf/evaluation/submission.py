"""The file that ILSVRC's server takes: five class ids a line, a line per test image.

Lines are in the alphabetical order of the images' file names. Ids are those of the
development kit, 1 to 1000, in an order of its own, which is not that of the synsets'
names: --class_ids gives it.
"""

from collections.abc import Sequence

import numpy as np

from inception_tf.errors import UsageError
from inception_tf.evaluation.scores import five_best, mean_probabilities
from inception_tf.evaluation.targets import file_name, file_number, read_text


def read_class_ids(path: str, class_names: Sequence[str]) -> np.ndarray:
    """ids[class index], from lines "SYNSET ID ..." (the kit's map_clsloc.txt); 1, 2, ... without.

    Raises:
        UsageError: a class of the network has no id in the file.
    """
    if not path:
        return np.arange(1, len(class_names) + 1)
    try:
        lines = [line.split() for line in read_text(path, "--class_ids").splitlines()]
        ids = {words[0]: int(words[1]) for words in lines if words}
    except (ValueError, IndexError) as error:
        raise UsageError(f"--class_ids={path} has no lines of a class name and a number: "
                         f"{error}") from None
    missing = [name for name in class_names if name not in ids]
    if missing:
        raise UsageError(f"--class_ids={path} has no id for {len(missing)} classes: "
                         f"{', '.join(missing[:3])}")
    return np.array([ids[name] for name in class_names])


def submission_text(members: Sequence[np.ndarray], example_ids: Sequence[str],
                    class_ids: np.ndarray) -> str:
    """Lines of the five best classes of the mean of `members`, one for every image.

    A split that does not tell its images' file names keeps its own order.
    """
    order = list(range(len(example_ids)))
    if all(file_number(name) is not None for name in example_ids):
        order.sort(key=lambda row: file_name(example_ids[row]))
    lines = []
    for row in order:
        best = five_best(mean_probabilities(members, [row]))[0]
        lines.append(" ".join(map(str, class_ids[best])) + "\n")
    return "".join(lines)
