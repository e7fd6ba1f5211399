"""Counts of modules of all kinds: other types, several outputs, layers that are made late, what cannot be copied."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import SwinTransformer

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.counts import measure_counts
from dlmi_bench.instruments.counts.harmless import is_harmless
from dlmi_bench.jobs.counting import make_count_figures, run_counts_job
from dlmi_bench.jobs.protocol import CountsRequest
from dlmi_bench.jobs.subject import Subject
from dlmi_models import MODELS


class Several(nn.Module):
    """Two products of 8 x 4, and a number beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"scores": (self.a(x), self.b(x)), "n": 3}


class Uncopied(nn.Linear):
    def __deepcopy__(self, _: object) -> "Uncopied":
        raise RuntimeError("not this one")


LINEAR = [
    pytest.param(lambda: nn.Linear(8, 4).half(), 36, id="half"),
    pytest.param(lambda: nn.Linear(8, 4).double(), 36, id="double"),
    pytest.param(lambda: nn.LazyLinear(4), 36, id="lazy"),
]


@pytest.mark.parametrize(("make", "n_parameters"), LINEAR)
def test_example_has_the_type_of_the_weights(make: Callable[[], nn.Module], n_parameters: int) -> None:
    """Both counters and the training count a layer of 8 x 4 in any type, also one that is made at its first call."""
    counts = measure_counts(make(), (8,))
    assert [p.macs for p in counts.products] == [32, 32]
    assert (counts.n_parameters, counts.n_activations, counts.training_flops) == (n_parameters, 4, 128)


def test_training_follows_every_output() -> None:
    """Outputs in a dictionary and a tuple, one of them no tensor: forward and the gradients of both layers."""
    assert measure_counts(Several(), (8,)).training_flops == 256


def test_nothing_to_train_is_said() -> None:
    """No parameters, or frozen ones: no flops of training, with the reason."""
    for network in (nn.Flatten(), nn.Linear(8, 4).requires_grad_(requires_grad=False)):
        counts = measure_counts(network, (8,))
        figures = [f for f in make_count_figures(counts) if f.name == "training_flops"]
        assert [(f.value, f.reason) for f in figures] == [(None, "no trainable parameter")]


@pytest.mark.parametrize(
    "norm", [nn.LazyBatchNorm2d, nn.LazyInstanceNorm2d, lambda: nn.LazyInstanceNorm2d(affine=True)]
)
def test_lazy_normalisation_is_made(norm: Callable[[], nn.Module]) -> None:
    """Its statistics are made at the first call, those of a network in another type too; the network stays unmade."""
    network = nn.Sequential(norm(), nn.LazyConv2d(3, 1)).double()
    counts = measure_counts(network, (2, 4, 4))
    assert [p.macs for p in counts.products] == [96, 96]
    assert isinstance(network[1], nn.LazyConv2d)


class Function(nn.Module):
    """A layer of 4 x 3, tensors that no `to` moves, and a function of them and the input."""

    def __init__(self, call: Callable[["Function", Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.call = nn.Linear(4, 3), call
        self.plain, self.kept = torch.ones(4), {"shift": [torch.ones(4)]}

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self, x)


@pytest.mark.parametrize(
    "call",
    [
        lambda net, x: net.layer(x * net.plain + net.kept["shift"][0]),
        lambda net, x: net.layer(x + torch.from_numpy(np.ones(4, np.float32))),
        lambda net, x: net.layer(x + torch.ones(4, device="cpu")),
        lambda net, x: net.layer(x.to(net.plain.device) + net.plain.sum().item()),
        lambda net, x: net.layer(net.plain.clone().copy_(x[0])[None]),
    ],
    ids=["attributes", "numpy", "cpu", "device of another", "in place"],
)
def test_tensors_beside_the_parameters_hinder_no_counter(call: Callable[[Function, Tensor], Tensor]) -> None:
    """Plain attributes, and tensors made on a device by name, are moved to where the input is."""
    counts = measure_counts(Function(call), (4,))
    assert [p.macs for p in (*counts.products, *counts.training)] == [12, 12, 24, 24]


@pytest.mark.parametrize(
    ("call", "macs"),
    [
        (lambda net, x: net.layer(x[:, :0]), 0),
        (lambda net, x: net.layer(x) + (x[..., :0] @ x[..., :0].mT).sum(), 60),
        (lambda net, x: net.layer(x) + torch.einsum("bij,bkj->bik", x[..., :0], x[..., :0]).sum(), 60),
        (lambda net, x: net.layer(F.scaled_dot_product_attention(x, x[:, :0], x[:, :0])), 60),
        (lambda net, x: net.layer(x) + F.conv1d(x[:0], x.new_ones(3, 5, 1)).sum(), 60),
    ],
    ids=["linear", "matmul", "einsum", "attention", "convolution"],
)
def test_products_without_elements_are_nothing(call: Callable[[Function, Tensor], Tensor], macs: int) -> None:
    """No example, no token or no feature: 0 products beside the 5 x 4 x 3 of the layer, and no counter stumbles."""
    counts = measure_counts(Function(call), (5, 4))
    assert [p.macs for p in counts.products] == [macs, macs]
    assert [p.coverage for p in counts.products] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "macs"),
    [
        (lambda net, x: x @ net.layer.weight.T, 60),
        (lambda net, x: net.layer.weight @ x.mT, 60),
        (lambda net, x: torch.baddbmm(x.new_zeros(1, 5, 3), x, net.layer.weight.T[None]), 60),
        (lambda net, x: torch.einsum("bij,kj->bik", x, net.layer.weight), 60),
        (lambda net, x: torch.einsum("bij,kj->bk", x, net.layer.weight), 12),
        (lambda net, x: torch.einsum("bij,k->bijk", x, net.layer.bias), 0),
        (lambda net, x: net.layer(torch.einsum("bij->bij", x)), 60),
        (lambda net, x: torch.einsum("...j,kj->...k", x, net.layer.weight), 60),
    ],
    ids=["two axes", "repeated", "baddbmm", "einsum", "summed first", "outer", "one factor", "dots"],
)
def test_products_of_tensors_by_hand(call: Callable[[Function, Tensor], Tensor], macs: int) -> None:
    """5 x 4 by 4 x 3 in every spelling; a letter of one factor alone is summed before, an outer product is no sum."""
    counts = measure_counts(Function(call), (5, 4))
    assert [p.macs for p in counts.products] == [macs, macs]


SHAPE = (2, 3, 5, 4)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.PReLU(4), nn.Hardswish(inplace=True), nn.Dropout(inplace=True)],
        lambda: [nn.AdaptiveMaxPool3d(2), nn.AdaptiveAvgPool3d(1)],
        lambda: [nn.GroupNorm(2, 4), nn.InstanceNorm3d(4), nn.GLU(1), nn.Upsample(scale_factor=2)],
        lambda: [Function(lambda _, x: x.clone().fill_(1).masked_fill(x.ne(0) | x.gt(1), 0))],
        lambda: [Function(lambda _, x: x.clone().unsqueeze_(0).transpose_(0, 1).squeeze_(1))],
        lambda: [Function(lambda _, x: torch.cat(torch.unsafe_chunk(x.clone().zero_().clamp_min(0), 2, 1), 1))],
        lambda: [nn.Flatten(), nn.LSTMCell(240, 5)],
    ],
    ids=["activations", "pools", "norms", "filled", "views in place", "chunks", "cell"],
)
def test_harmless_operators_lower_no_coverage(layers: Callable[[], list[nn.Module]]) -> None:
    """Elementwise, pooling, normalisation, moving of data: in place or not, by every counter."""
    counts = measure_counts(nn.Sequential(nn.Conv3d(2, 4, 1), *layers()), SHAPE)
    assert [p.uncounted for p in (*counts.products, *counts.training)] == [{}] * 4


def test_shifted_windows_are_covered() -> None:
    """Swin's windows with masks, of 2 blocks on 8 x 8 patches: nothing goes uncounted, and all counters agree."""
    network = SwinTransformer([4, 4], 8, [2], [2], [4, 4], num_classes=3)
    counts = measure_counts(network, (3, 32, 32))
    assert [p.coverage for p in (*counts.products, *counts.training)] == [1.0] * 4
    assert counts.products[0].macs == counts.products[1].macs
    assert counts.training[0].macs == counts.training[1].macs


def test_operators_that_multiply_are_not_harmless() -> None:
    """A counter must have a formula for them, or name them."""
    names = (
        "mm bmm addmm addmm_ baddbmm addbmm mv addmv dot vdot ger convolution conv2d conv_tbc _convolution_mode linear "
        "matmul einsum bilinear _trilinear cdist lstm gru rnn_tanh scaled_dot_product_attention tensordot inner kron "
        "linalg_multi_dot _fft_r2c _sparse_mm no_such_operator torchvision::deform_conv2d"
    ).split()
    assert [name for name in names if is_harmless(name)] == []


def test_what_cannot_be_copied_is_wrong_use() -> None:
    """Trying again would not help, so nobody is told to."""
    with torch.device("meta"):
        nowhere = nn.Linear(8, 4)
    for network, cause in ((Uncopied(8, 4), "not this one"), (nowhere, "meta tensor")):
        with pytest.raises(UsageError, match=cause) as caught:
            measure_counts(network, (8,))
        assert "deepcopy" in caught.value.remedy


def test_formula_alone_counts_no_input() -> None:
    """Three channels, which the network cannot take: an error, and not the count of its formula."""
    subject = Subject(kind="model", name="lecun-1989", input_shape=(3, 16, 16))
    assert MODELS["lecun-1989"].compute_macs((1, 16, 16))
    with pytest.raises(UsageError, match="channel"):
        run_counts_job(CountsRequest(subject=subject), lambda *_: None)


def test_missing_activations_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing could be traced the line stays, and says why."""

    def fail(*_: object) -> None:
        raise RuntimeError("no trace")

    monkeypatch.setattr("dlmi_bench.instruments.counts.trace.count_by_trace", fail)
    subject = Subject(kind="model", name="softmax", input_shape=(1, 16, 16))
    figures = run_counts_job(CountsRequest(subject=subject), lambda *_: None)
    assert [f.reason for f in figures if f.name == "n_activations"] == ["RuntimeError: no trace"]
