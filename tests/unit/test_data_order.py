"""Positions: each epoch is a permutation, and nothing but (seed, position) matters."""

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.data.order import example_indices


@pytest.mark.parametrize("num_examples", [1, 2, 3, 5, 64, 1000, 1023])
def test_every_epoch_is_a_permutation(num_examples):
    orders = example_indices(np.arange(3 * num_examples), num_examples, seed=7)
    for epoch in np.split(orders.numpy(), 3):
        assert sorted(epoch) == list(range(num_examples))


def test_epochs_and_seeds_differ_in_order():
    first, second = np.split(example_indices(np.arange(200), 100, seed=7).numpy(), 2)
    other = example_indices(np.arange(100), 100, seed=8).numpy()
    assert (first != second).mean() > 0.9
    assert (first != other).mean() > 0.9


@pytest.mark.parametrize("num_examples", [1000, 6000, 65_536])
def test_order_cannot_be_told_from_a_random_one(num_examples):
    """With the four rounds of TensorFlow's public function each of these fails."""
    positions = np.arange(num_examples)
    order = example_indices(positions, num_examples, seed=2).numpy()
    standard_error = num_examples**-0.5
    assert abs(np.corrcoef(order, positions)[0, 1]) < 4 * standard_error
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 4 * standard_error
    differences = np.unique(np.diff(order) % num_examples, return_counts=True)[1]
    assert differences.max() < 13  # about Poisson(1): 13 has a chance of 6e-11 each


def test_sorted_classes_come_mixed():
    """Folders are sorted by class; a batch must not notice."""
    labels = example_indices(np.arange(6000), 6000, seed=2).numpy() // 300
    counts = np.stack([np.bincount(part, minlength=20) for part in np.split(labels, 30)])
    chi_squared_per_degree = ((counts - 10) ** 2 / 10).sum() / (30 * 19)
    assert 0.75 < chi_squared_per_degree < 1.25


def test_a_position_gives_the_same_record_alone_in_a_vector_and_in_a_graph():
    positions = np.array([0, 99, 100, 123_456_789_012])
    together = example_indices(positions, 100, seed=3).numpy()
    alone = [example_indices([p], 100, seed=3).numpy()[0] for p in positions]
    graph = tf.function(lambda p: example_indices(p, 100, seed=3))(positions).numpy()
    assert together.tolist() == alone == graph.tolist()


def test_order_stays_that_of_the_releases_before():
    """Another order is a change of numbers: runs in progress would repeat and miss examples."""
    assert example_indices(np.arange(8), 1000, seed=0).numpy().tolist() == [
        282, 717, 436, 56, 294, 993, 514, 967]
