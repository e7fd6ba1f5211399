"""Flops of training: two counters against hand formulas and hooks on modules, and what has none."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from count_networks import LAYERS, OTHERS, Shape, count_by_hooks
from dlmi_bench.instruments.counts import Counts, measure_counts
from dlmi_bench.jobs.counting import make_count_figures, make_training_figures
from dlmi_bench.profiling.text import format_counts
from dlmi_bench.records import Note


def count_flops(counts: Counts) -> list[int | None]:
    """Training FLOPs by each counter, the dispatcher first."""
    return [None if p.macs is None else 2 * p.macs for p in counts.training]


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv1d(4, 6, 3, groups=2), (4, 9), 6 * 7 * 2 * 3),
        (nn.Conv2d(4, 4, 3, groups=4), (4, 9, 8), 4 * 7 * 6 * 9),
        (nn.Conv2d(4, 8, 3, 2, groups=4), (4, 9, 9), 8 * 16 * 9),
        (nn.Conv3d(4, 4, 2, groups=4), (4, 3, 4, 5), 4 * 2 * 3 * 4 * 8),
        (nn.ConvTranspose1d(4, 6, 3, groups=2), (4, 9), 4 * 9 * 3 * 3),
        (nn.ConvTranspose2d(4, 4, 2, 2, groups=4), (4, 5, 6), 4 * 30 * 4),
        (nn.ConvTranspose3d(4, 8, 2, 2, groups=2), (4, 3, 4, 5), 4 * 60 * 4 * 8),
    ],
)
def test_gradients_of_grouped_convolutions_are_those_of_their_groups(layer: nn.Module, shape: Shape, macs: int) -> None:
    """Forward, weights and input cost the same; the input of the first layer gets no gradient."""
    assert count_flops(measure_counts(layer, shape)) == [2 * 2 * macs] * 2
    scaled = measure_counts(nn.Sequential(nn.LayerNorm(shape), layer), shape)
    assert count_flops(scaled) == [2 * 3 * macs] * 2


@pytest.mark.parametrize("name", LAYERS)
def test_both_counters_agree_with_hooks_on_modules(name: str) -> None:
    """Each layer's products are seen by a hook on it, with what of its input and weights needs a gradient."""
    make, shape = LAYERS[name]
    flops = count_by_hooks(nn.Sequential(*make()), shape)
    counts = measure_counts(nn.Sequential(*make()), shape)
    assert count_flops(counts) == [flops, flops]
    assert [p.uncounted for p in (*counts.products, *counts.training)] == [{}] * 4


@pytest.mark.parametrize("name", OTHERS)
def test_both_counters_agree_on_attention_and_recurrence(name: str) -> None:
    """All products are covered, forward and in training."""
    make, shape = OTHERS[name]
    counts = measure_counts(make(), shape)
    assert len(set(count_flops(counts))) == len({p.macs for p in counts.products}) == 1
    assert [p.coverage for p in (*counts.products, *counts.training)] == [1.0] * 4


def test_attention_trains_at_three_times_its_forward() -> None:
    """16 tokens of 16: patches, projections, scores, mixture, perceptron, head; the image needs no gradient."""
    patches, projections, attention = 16 * 16 * 108, 16 * 16 * 64, 2 * 16**3
    perceptron, head = 2 * 16 * 16 * 32, 16 * 48
    make, shape = OTHERS["vit-like, fused"]
    flops = 6 * (projections + attention + perceptron + head) + 4 * patches
    assert count_flops(measure_counts(make(), shape)) == [flops, flops]


def test_first_state_of_a_recurrent_layer_needs_no_gradient() -> None:
    """7 steps of 3 gates of 5; inputs are given and the first state is 0, so neither gets a gradient; then the head."""
    inputs, states, head = 3 * 5 * 4, 3 * 5 * 5, 15
    make, shape = OTHERS["gru"]
    flops = 2 * (7 * 2 * inputs + 7 * 2 * states + 6 * states + 3 * head)
    assert count_flops(measure_counts(make(), shape)) == [flops, flops]


class Calls(nn.Module):
    """A linear layer of 4 x 3, and what a function does with it."""

    def __init__(self, call: Any) -> None:
        super().__init__()
        self.layer, self.call = nn.Linear(4, 3), call
        self.scale, self.shifts = torch.ones(4), [torch.ones(4)]

    def forward(self, x: Tensor) -> Any:
        return self.call(self, x)


@dataclass
class Scores:
    logits: Tensor
    name: str = "scores"


def test_dataclass_is_looked_into() -> None:
    """Its tensors are outputs, at any depth: 12 products, and 12 for the weights."""
    counts = measure_counts(Calls(lambda net, x: {"out": Scores(net.layer(x))}), (4,))
    assert count_flops(counts) == [48, 48]
    assert [p.macs for p in counts.products] == [12, 12]


@pytest.mark.parametrize(
    "call",
    [
        lambda net, x: net.layer(x).argmax(1),
        lambda net, x: Scores(net.layer(x).detach()),
        lambda net, x: torch.no_grad()(net.layer)(x),
    ],
    ids=["argmax", "detach", "no_grad"],
)
def test_output_without_gradient_has_no_flops_of_training(call: Any) -> None:
    """Neither those of the forward alone nor 0, but the reason."""
    counts = measure_counts(Calls(call), (4,))
    assert (counts.macs, counts.training_flops) == (12, None)
    figures = make_training_figures(counts.training)
    assert [f.value for f in figures] == [None, None]
    assert {f.reason for f in figures} == {"no tensor of the output carries a gradient of a trainable parameter"}


def test_frozen_network_says_that_it_has_nothing_to_train() -> None:
    """One line, not one for each counter."""
    (figure,) = make_training_figures(measure_counts(nn.Flatten(), (4,)).training)
    assert (figure.value, figure.reason) == (None, "no trainable parameter")


def test_counters_of_training_that_disagree_are_told() -> None:
    """The trace has no formula for a chain of products: it lacks 24 of 60, and every figure says so."""
    chain = Calls(lambda net, x: torch.linalg.multi_dot([x, net.layer.weight.T, net.layer.weight]))
    figures = make_training_figures(measure_counts(chain, (4,)).training)
    assert [(f.value, f.conditions["counter"]) for f in figures] == [(120, "dispatch"), (72, "autograd")]
    assert all(Note(None, "counters disagree by 40.0 %") in f.notes for f in figures)
    assert Note(None, "not counted: aten::linalg_multi_dot x 1") in figures[1].notes


def test_each_counter_of_training_is_named() -> None:
    """Two figures of one name, with the counter, its source and its coverage."""
    figures = [f for f in make_count_figures(measure_counts(nn.Linear(4, 3), (4,))) if f.name == "training_flops"]
    assert [f.conditions for f in figures] == [{"counter": c, "coverage": 1.0} for c in ("dispatch", "autograd")]
    assert [(f.source, f.notes) for f in figures] == [
        ("FlopCounterMode on meta", ()),
        ("fvcore and autograd's graph", ()),
    ]


def test_figures_stand_in_one_column() -> None:
    """Also beside the longest name; every number ends where the others do."""
    lines = format_counts(make_count_figures(measure_counts(nn.Linear(4, 3), (4,))))
    assert "  training_flops (autograd)             48  fvcore and autograd's graph, coverage 100 %" in lines
    assert {line[41].isdigit() and line[42:44] == "  " for line in lines} == {True}


def test_products_of_weights_alone_count_whole() -> None:
    """6 x 2 by 2 x 8 once, its result by one example; each with two gradients but that of the example."""

    class LowRank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.ones(6, 2)), nn.Parameter(torch.ones(2, 8))

        def forward(self, x: Tensor) -> Tensor:
            return x @ (self.a @ self.b)

    assert count_flops(measure_counts(LowRank(), (6,))) == [2 * (3 * 96 + 2 * 48)] * 2


def test_biases_alone_need_no_gradient_of_weights() -> None:
    """Both forwards, 12 and 6, and the gradient of what lies between the layers, 6."""
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    for layer in (network[0], network[1]):
        layer.weight.requires_grad_(requires_grad=False)
    assert count_flops(measure_counts(network, (4,))) == [2 * (12 + 6 + 6)] * 2


def test_layers_of_training_alone_are_counted() -> None:
    """A second head that evaluation leaves out, as in GoogLeNet: 12, and 12 for its weights, beside the first."""
    network = Calls(lambda net, x: [net.layer(x)] * 2 if not net.training else [net.layer(x), net.layer(x)])
    counts = measure_counts(network, (4,))
    assert [p.macs for p in counts.products] == [12, 12]
    assert count_flops(counts) == [96, 96]


def test_normalisation_of_single_values_is_counted_in_training() -> None:
    """Batch normalisation has one value per channel here; it hinders no counter."""
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    assert count_flops(measure_counts(network, (4,))) == [4 * 12 + 6 * 6] * 2


OF_LAYERS = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_y_400mf "
    "resnet18 resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_1"
).split()
OF_PRODUCTS = "swin_t swin_v2_t vit_b_16 maxvit_t swin3d_t r2plus1d_18 lraspp_mobilenet_v3_large".split()


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_LAYERS)
def test_hooks_agree_on_torchvision(name: str) -> None:
    """Both counters and hooks on modules give one number for networks of layers."""
    counts = measure_counts(models.get_model(name, weights=None), (3, 224, 224))
    flops = count_by_hooks(models.get_model(name, weights=None), (3, 224, 224))
    assert count_flops(counts) == [flops, flops]
    assert [p.coverage for p in (*counts.products, *counts.training)] == [1.0] * 4


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_PRODUCTS)
def test_counters_agree_on_attention_volumes_and_maps_of_torchvision(name: str) -> None:
    """Nothing goes uncounted, and both counters give one number, forward and in training."""
    shape = (3, 16, 112, 112) if name in models.list_models(module=models.video) else (3, 224, 224)
    origin = {"weights_backbone": None} if name.startswith("lraspp") else {}
    counts = measure_counts(models.get_model(name, weights=None, **origin), shape)
    assert len(set(count_flops(counts))) == len({p.macs for p in counts.products}) == 1
    assert [p.coverage for p in (*counts.products, *counts.training)] == [1.0] * 4
