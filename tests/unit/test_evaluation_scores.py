"""Scores from probabilities, against numpy's plainest forms; files that name images."""

import json

import numpy as np
import pytest

from inception_tf.data.drawing import SMALL
from inception_tf.errors import DataError, UsageError
from inception_tf.evaluation import paper, scores, targets
from inception_tf.evaluation.submission import read_class_ids, submission_text

NUM, K = 43, 11
RNG = np.random.default_rng(0)
MEMBERS = [RNG.dirichlet(np.full(K, 0.4), NUM).astype(np.float32) for _ in range(3)]
LABELS = RNG.integers(0, K, NUM)
ALL = np.ones(NUM, bool)


def rates(members, labels=LABELS, counted=ALL):
    return scores.error_rates(members, np.asarray(labels)[:, None], counted)


def test_rates_of_an_ensemble_are_those_of_the_mean_probability():
    found = rates(MEMBERS)
    mean = np.mean([m.astype(float) for m in MEMBERS], axis=0)
    best = np.argsort(-mean, axis=1)
    assert found["num_examples"] == NUM
    assert found["top1_error"] == np.mean(best[:, 0] != LABELS)
    assert found["top5_error"] == np.mean((best[:, :5] != LABELS[:, None]).all(1))
    expected = -np.log(mean[np.arange(NUM), LABELS]).mean()
    assert found["cross_entropy"] == pytest.approx(expected, rel=1e-12)


def test_image_that_does_not_count_changes_nothing():
    counted = ALL.copy()
    counted[::3] = False
    kept = np.flatnonzero(counted)
    assert rates(MEMBERS, counted=counted) == rates([m[kept] for m in MEMBERS], LABELS[kept],
                                                    ALL[kept])


def test_equal_probabilities_are_chance_not_zero_error():
    found = rates([np.full((K, K), 1 / K, np.float32)], np.arange(K), np.ones(K, bool))
    assert found["top1_error"] == pytest.approx(10 / 11)
    assert found["top5_error"] == pytest.approx(6 / 11)


def test_any_of_several_right_classes_is_a_hit():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], np.float32)
    ranks, shares = scores.target_ranks(probabilities, np.array([[2, 0], [1, 2], [2, -1]]))
    assert ranks.tolist() == [0, 1, 2]
    np.testing.assert_allclose(shares, [0.7, 0.5, 0.2], rtol=1e-6)


# Newcombe, Statistics in Medicine 17 (1998), table I, method 3: Wilson's score without
# continuity correction.
@pytest.mark.parametrize("errors, number, low, high", [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718)])
def test_wilson_interval_has_the_published_values(errors, number, low, high):
    found = scores.wilson_interval(errors, number)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_search_tries_every_subset_and_lists_the_best_first():
    found = scores.search_subsets(MEMBERS, LABELS[:, None], ALL)
    assert len({subset for subset, _ in found}) == 7
    for subset, numbers in found:
        assert numbers == rates([MEMBERS[i] for i in subset])
    order = [(n["top5_error"], n["top1_error"]) for _, n in found]
    assert order == sorted(order)


def test_search_over_too_many_members_is_refused():
    with pytest.raises(UsageError, match="13 members has 8191 subsets"):
        scores.search_subsets([MEMBERS[0]] * 13, LABELS[:, None], ALL)


def test_papers_figures_go_with_networks_and_crops():
    four = ["inception_resnet_v2", "inception_v4", "inception_resnet_v2", "inception_resnet_v2"]
    assert paper.printed_error(four, 144)[:2] == (16.5, 3.1)
    assert paper.printed_error(["inception_v4"], 12)[:2] == (18.7, 4.2)
    assert paper.printed_error(four[:3], 144) is None
    assert paper.printed_error(["inception_resnet_v2_released"], 1) is None  # another network


SYNSETS = ["n01440764", *(str(k) for k in range(999))]


def header(classes=SYNSETS, **network):
    network = {"image_size": 299, "width": 1.0, "repeats": [], **network}
    return {"about": {"config": {"network": network}}, "class_names": list(classes),
            "split": "validation", "dataset": "imagenet2012:5.1.0"}


def test_papers_figures_stand_only_beside_full_networks_on_imagenets_validation_split():
    assert paper.is_papers_task(header())
    for other in (header(image_size=80), header(width=0.5), header(repeats=[1, 2, 1]),
                  header(classes=SMALL.class_names), {**header(), "dataset": "imagenet_v2"},
                  {**header(), "split": "validation[:10%]"}):
        assert not paper.is_papers_task(other)


IMAGENET = [f"imagenet2012/validation#{i} (ILSVRC2012_val_0000{n:04d}.JPEG)"
            for i, n in enumerate((7, 3, 36, 1))]
FOLDERS = ["validation/cat/0.jpg", "validation/cat/1.jpg", "validation/dog/1.jpg"]


@pytest.mark.parametrize("ids, lines, rows", [
    (IMAGENET, "36\n7", [0, 2]),
    (IMAGENET, "# blacklist\nILSVRC2012_val_00000036.JPEG\n\nILSVRC2012_val_00000001 # why\n",
     [2, 3]),
    (IMAGENET, "imagenet2012/validation#1 (ILSVRC2012_val_00000003.JPEG)", [1]),
    (FOLDERS, "0.jpg\nvalidation/dog/1.jpg", [0, 2]),
    (["shapes/validation#0", "shapes/validation#1"], "shapes/validation#1", [1]),
])
def test_exclusion_file_names_images_in_each_way(ids, lines, rows, tmp_path):
    (tmp_path / "out.txt").write_text(lines)
    assert np.flatnonzero(targets.excluded_rows(tmp_path / "out.txt", ids)).tolist() == rows


@pytest.mark.parametrize("ids, lines, message", [
    (IMAGENET, "36\n99\n100", r"names 2 image\(s\) that the split does not have: 99, 100"),
    (FOLDERS, "1.jpg", "1.jpg names 2 images; write their example ids"),
    (FOLDERS, "36", "like validation/cat/0.jpg"),
])
def test_exclusion_of_unknown_or_ambiguous_images_is_refused(ids, lines, message, tmp_path):
    (tmp_path / "out.txt").write_text(lines)
    with pytest.raises(UsageError, match=message):
        targets.excluded_rows(tmp_path / "out.txt", ids)


@pytest.mark.parametrize("content", [
    [[1], [3], [], [7, 8]],  # a list goes by the numbers in the files' names: 1, 3, 7, 36
    {"1": [1], "3": [3], "7": [], "36": [7, 8]},
])
def test_real_labels_reach_their_images(content, tmp_path):
    (tmp_path / "real.json").write_text(json.dumps(content))
    found = targets.other_targets(tmp_path / "real.json", IMAGENET, 10)
    assert found.tolist() == [[-1, -1], [3, -1], [7, 8], [1, -1]]


@pytest.mark.parametrize("content, message", [
    ("[[1]", "is damaged"),
    ("3", "is damaged: Expected"),
    ("[[1], [3], [10], []]", "must hold a list of different classes 0..9"),
    ("[[1], [3], [2, 2], []]", "must hold a list of different classes 0..9"),
    ("[[1], [3]]", "has labels of 2 images, the split has 4"),
    ('{"1": [1], "3": [3], "7": [], "35": []}', "does not have: 35"),
])
def test_labels_that_do_not_fit_are_refused(content, message, tmp_path):
    (tmp_path / "real.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        targets.other_targets(tmp_path / "real.json", IMAGENET, 10)


def test_split_with_labels_on_some_images_only_is_refused():
    with pytest.raises(DataError, match="2 of 3 images have no label"):
        targets.own_targets(np.array([1, -1, -1]))


def test_submission_has_five_ids_a_line_in_the_order_of_the_file_names(tmp_path):
    (tmp_path / "map.txt").write_text("".join(f"n{k:02d} {900 - k} name {k}\n" for k in range(K)))
    ids = read_class_ids(tmp_path / "map.txt", [f"n{k:02d}" for k in range(K)])
    members = [m[:4] for m in MEMBERS]
    text = submission_text(members, IMAGENET, ids)
    lines = [list(map(int, line.split())) for line in text.splitlines()]
    mean = np.mean([m.astype(float) for m in members], axis=0)
    for line, row in zip(lines, (3, 1, 0, 2), strict=True):
        assert line == [900 - k for k in np.argsort(-mean[row])[:5]]


def test_submission_without_file_names_keeps_the_order_of_the_split():
    ids = [f"shapes/test#{i}" for i in range(11)]
    text = submission_text([np.eye(11, dtype=np.float32)], ids, read_class_ids("", range(11)))
    firsts = [int(line.split()[0]) for line in text.splitlines()]
    assert firsts == list(range(1, 12))


@pytest.mark.parametrize("content, message", [
    ("n00 1\n", "no id for 10 classes: n01, n02, n03"),
    ("n00\n", "no lines of a class name and a number"),
])
def test_class_ids_that_do_not_fit_are_refused(content, message, tmp_path):
    (tmp_path / "map.txt").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_class_ids(tmp_path / "map.txt", [f"n{k:02d}" for k in range(K)])
