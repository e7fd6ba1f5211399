"""Pictures beside figures: which examples, what is kept of them, and that saliency is the gradient."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from dlmi_bench.jobs.saliency import compute_saliency
from dlmi_bench.store.pictures import make_pictures, pick_examples


def test_first_of_each_kind_are_picked() -> None:
    """In the order of the split, whatever their scores; a class without mistakes gives none."""
    truth = np.array([0, 0, 1, 0, 1, 0, 1, 0])
    answers = np.array([0, 1, 1, 0, 1, 2, 1, 0])
    assert pick_examples(truth, answers, 2) == [0, 3, 1, 5, 2, 4]
    assert pick_examples(truth, answers, 1) == [0, 1, 2]


def test_pictures_by_hand() -> None:
    """Scores ln 3 and 0 are 3/4 and 1/4; greys run from the darkest to the brightest of the series."""
    images = np.array([[[0.0, 1.0]], [[2.0, 4.0]]])
    saliency = np.array([[[0.0, 2.0]], [[0.0, 0.0]]])
    scores = np.array([[np.log(3), 0.0], [-900.0, 900.0]])
    first, second = make_pictures([7, 9], images, saliency, np.array([0, 0]), scores)
    assert (first.index, first.answer, first.probability, first.is_right) == (7, 0, 0.75, True)
    assert (second.index, second.answer, second.probability, second.is_right) == (9, 1, 1.0, False)
    assert_array_equal(first.decode()[0], [[0, 64]])
    assert_array_equal(second.decode()[0], [[128, 255]])
    assert_array_equal(first.decode()[1], [[0, 255]])
    assert_array_equal(second.decode()[1], [[0, 0]])


def test_picture_of_another_size_is_refused() -> None:
    """A damaged picture is an error, not another picture."""
    (picture,) = make_pictures([0], np.ones((1, 2, 2)), np.ones((1, 2, 2)), np.array([0]), np.ones((1, 2)))
    with pytest.raises(ValueError, match="reshape"):
        picture.model_copy(update={"height": 3}).decode()


def test_saliency_of_a_linear_net_is_its_weights() -> None:
    """The gradient of one class's score is that class's weights, noise or not; channels add up."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(8, 2)).eval()
    with torch.no_grad():
        network[1].weight.copy_(torch.arange(-8.0, 8.0).reshape(2, 8))
    images = np.random.default_rng(0).random((2, 2, 2, 2), np.float32)
    found = compute_saliency(network, images, np.array([0, 1]))
    assert_allclose(found[0], [[8 + 4, 7 + 3], [6 + 2, 5 + 1]], rtol=1e-5)
    assert_allclose(found[1], [[0 + 4, 1 + 5], [2 + 6, 3 + 7]], rtol=1e-5)


def test_saliency_is_averaged_over_noise() -> None:
    """At the corner of |x| copies fall on both sides: the mean gradient is nearly 0, a single one would be 1."""

    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).abs()

    image = np.array([[[[0.0, 1.0]]]], np.float32)
    found = compute_saliency(Corner(), image, np.array([0]))
    assert found[0, 0, 0] < 0.5
    assert_array_equal(found, compute_saliency(Corner(), image, np.array([0])))
