"""Families of compact nets, arms by name, and what an arm does to the modules of a network."""

import copy

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor, nn

from dlmi_models import MODELS
from dlmi_models.arms import FOLDED, Step, find_disorder, parse_step, split_name
from dlmi_models.cosine import make_basis
from dlmi_models.reshaping import factorise, fold, reshape


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("mlp-16-12", 4446),
        ("mlp-40", 10690),
        ("dct-32-16-12", 862),
        ("window-28-40", 41806),
        ("sepconv-6-9-10", 628),
        ("sepconv-8-12-14", 924),
        ("conv-12-18-20", 5872),
        ("committee-3-12-18-20", 3 * 5872),
    ],
)
def test_members_of_families_have_the_published_sizes(name: str, n: int) -> None:
    """Sizes of the prototypes, by hand: biases of convolutions are those of their folded normalisations."""
    assert count(MODELS[name].build()) == n


@pytest.mark.parametrize("name", ["mlp-0-4", "mlp-04-4", "mlp-4-4-4", "conv-1-2", "mlp-64-32-x", "conv-1-2-99999"])
def test_names_of_no_family_are_unknown(name: str) -> None:
    """A width is a number from 1 to 9999, and each family has so many."""
    assert name not in MODELS
    with pytest.raises(KeyError):
        MODELS[name]


@pytest.mark.parametrize(
    ("word", "step"),
    [
        ("int8", Step("bits", 8)),
        ("ternary", Step("bits", 2)),
        ("pruned-1500", Step("pruned", 1500)),
        ("pruned-0.05", Step("pruned", 0.05)),
        ("lowrank-4", Step("lowrank", 4)),
        ("distilled", Step("distilled")),
        ("distilled-cnn-32", Step("distilled", teacher="cnn-32")),
        *(
            (word, None)
            for word in ("int5", "pruned", "pruned-0", "pruned-1.5", "pruned--3", "lowrank-0", "distilled-")
        ),
    ],
)
def test_words_of_arms(word: str, step: Step | None) -> None:
    """What is no way of compactness, or keeps nothing, is no arm."""
    assert parse_step(word) == step


def test_ways_stand_in_the_order_in_which_they_act() -> None:
    """Another order is unknown and is told the right one; the same way twice is unknown too."""
    name = "cnn-4+distilled+lowrank-3+pruned-100+int4"
    assert [step.kind for step in MODELS[name].steps] == ["distilled", "lowrank", "pruned", "bits"]
    assert "cnn-4+int4+pruned-100" not in MODELS
    assert find_disorder("cnn-4+int4+pruned-100") == "cnn-4+pruned-100+int4"
    assert find_disorder(name) == ""
    assert "cnn-4+int4+int8" not in MODELS
    assert split_name("vgg16-c+synthetic+int8") == ("vgg16-c+synthetic", (Step("bits", 8),))
    assert MODELS["vgg16-c+synthetic+int8"].start == "synthetic"
    assert split_name("vgg16-c+synthetic") == ("vgg16-c+synthetic", ())


@pytest.mark.parametrize("name", ["cnn-4", "resnet-c", "vgg16-c"])
def test_folding_changes_no_answer_and_leaves_no_normalisation(name: str) -> None:
    """In float64, with statistics that are not those of a new network."""
    torch.manual_seed(0)
    network = MODELS[name].build().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.running_var, module.weight, module.bias):
                assert value is not None
                value.data.uniform_(0.5, 1.5)
    x = torch.rand(3, *MODELS[name].usual.input_shape, dtype=torch.float64)
    before, folded = network.eval()(x), copy.deepcopy(network)
    fold(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert all(weight.requires_grad for weight in folded.parameters())
    assert torch.allclose(folded(x), before, rtol=1e-9, atol=1e-12)


class TwoReaders(nn.Module):
    """A convolution whose output is read by a normalisation and by the sum behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return (self.norm(x) + x).mean((2, 3))


class Branching(nn.Module):
    """A forward that torch.fx cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x.mean((2, 3)) if x.sum() > 0 else -x.mean((2, 3))


@pytest.mark.parametrize("make", [TwoReaders, Branching])
def test_normalisations_that_cannot_be_folded_stay(make: type[nn.Module]) -> None:
    """The network answers as before."""
    network = make().eval()
    network.norm.running_mean.fill_(0.7)  # type: ignore[union-attr,operator]
    x = torch.rand(2, 1, 8, 8)
    before = network(x)
    fold(network)
    assert torch.equal(network(x), before)
    assert isinstance(network.norm, nn.BatchNorm2d)


def test_low_rank_is_the_nearest_and_only_where_it_saves() -> None:
    """The error is the root of the squares of the singular values left out; the last layer would grow."""
    torch.manual_seed(0)
    network = MODELS["mlp-64-32"].build()
    weight = network.hidden1.weight.detach().clone()  # type: ignore[union-attr,operator]
    factorise(network, 8)
    first, second = network.hidden1  # type: ignore[misc]
    left_out = np.linalg.svd(weight.numpy(), compute_uv=False)[8:]
    error = (second.weight @ first.weight - weight).norm().item()
    assert error == pytest.approx(np.sqrt((left_out**2).sum()), rel=1e-4)
    assert isinstance(network.out, nn.Linear)  # 8 (10 + 32) > 10 x 32
    assert count(network) == 8 * (256 + 64) + 64 + 8 * (64 + 32) + 32 + 330


def test_low_rank_of_a_convolution_keeps_its_places() -> None:
    """Of full rank nothing is saved; of the rank of the kernels the answers are the same."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 16, 3, padding=1, stride=2))
    conv = network[0]
    with torch.no_grad():
        conv.weight.copy_((torch.rand(16, 2) @ torch.rand(2, 36)).view(16, 4, 3, 3))  # type: ignore[operator,union-attr]
    x = torch.rand(2, 4, 9, 9)
    before = network(x)
    factorise(network, 2)
    assert torch.allclose(network(x), before, atol=1e-5)
    assert count(network) == 2 * 36 + 16 * 2 + 16


def test_built_and_trained_networks_have_the_same_modules() -> None:
    """A file of weights fits the network that its name builds."""
    entry = MODELS["cnn-4+lowrank-3+int4"]
    trained = reshape(reshape(entry.trainee.build(), (Step("lowrank", 3),)), (FOLDED,))
    assert {n: w.shape for n, w in trained.state_dict().items()} == {
        n: w.shape for n, w in entry.build().state_dict().items()
    }


def test_members_of_a_committee_take_turns_and_answer_together() -> None:
    """In training a batch moves one member; in evaluation the probabilities are averaged, folded or not."""
    torch.manual_seed(0)
    network = MODELS["committee-3-4-4-4"].trainee.build()
    x = torch.rand(8, 1, 16, 16)
    network.train()(x).sum().backward()
    moved = [any(w.grad is not None for w in member.parameters()) for member in network.members]  # type: ignore[union-attr,arg-type]
    assert sorted(moved) == [False, False, True]
    network.eval()
    shares = torch.stack([member(x).softmax(1) for member in network.members]).mean(0)  # type: ignore[operator,union-attr]
    assert torch.allclose(network(x).exp(), shares, atol=1e-6)
    fold(network)
    assert torch.allclose(network(x).exp(), shares, atol=1e-5)


def test_cosines_are_those_of_scipy() -> None:
    """An image's coefficients are half of its orthonormal transform at the lowest frequencies, by the sum of both."""
    image = np.random.default_rng(0).random((16, 16))
    whole = dctn(image, norm="ortho")
    found = torch.from_numpy(image).flatten().float() @ make_basis((1, 16, 16), 6)
    order = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    assert found.numpy() == pytest.approx([whole[place] / 2 for place in order], abs=1e-5)
