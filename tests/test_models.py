"""Architectures for digits: counts against hand formulas, shapes, and what the registry imports."""

import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from dlmi_bench.instruments.counts import measure_counts
from dlmi_models import MODELS
from dlmi_models.lecun1989 import GROUPS, LeCun1989
from dlmi_tasks import get_task

INPUT = (1, 16, 16)
DIGITS = get_task("usps").default_models


def count_cnn(c: int) -> tuple[int, int]:
    """Parameters and MACs of three 3x3 convolutions c, 2c, 2c on 16x16, 8x8, 4x4, with normalisation, and the head."""
    parameters = 9 * c + 9 * c * 2 * c + 9 * 2 * c * 2 * c + 2 * (c + 2 * c + 2 * c) + 2 * c * 16 * 10 + 10
    macs = 9 * c * 256 + 18 * c * c * 64 + 36 * c * c * 16 + 320 * c
    return parameters, macs


def count_mlp(*widths: int) -> tuple[int, int]:
    pairs = list(pairwise(widths))
    return sum(a * b + b for a, b in pairs), sum(a * b for a, b in pairs)


def count_compact(a: int, b: int, c: int, *, is_separable: bool = False) -> tuple[int, int]:
    """The same of convolutions a, b, c with folded normalisation, a 4x4 kernel for each channel, and a matrix."""
    second, third = ((9 * m + m * n if is_separable else 9 * m * n) for m, n in ((a, b), (b, c)))
    parameters = 9 * a + second + third + a + b + c + 16 * c + 10 * c + 10
    return parameters, 9 * a * 256 + second * 64 + third * 16 + 16 * c + 10 * c


HAND = {
    "softmax": count_mlp(256, 10),
    "mlp-16-12": count_mlp(256, 16, 12, 10),
    "mlp-64-32": count_mlp(256, 64, 32, 10),
    "mlp-512-256": count_mlp(256, 512, 256, 10),
    # Every connection but the 1 000 biases is one multiply-accumulate.
    "lecun-1989": (9760, 64660 - 1000),
    "cnn-4": count_cnn(4),
    "cnn-16": count_cnn(16),
    "cnn-32": count_cnn(32),
    "sepconv-6-9-10": count_compact(6, 9, 10, is_separable=True),
    "conv-12-18-20": count_compact(12, 18, 20),
}


@pytest.mark.parametrize("name", DIGITS)
def test_counts_equal_the_hand_formula(name: str) -> None:
    """Parameters and all three MAC counts equal a formula written here, and nothing goes uncounted."""
    entry = MODELS[name]
    counts = measure_counts(entry.build(), INPUT, closed_form=entry.compute_macs(INPUT))
    parameters, macs = HAND[name]
    assert [(p.counter, p.macs) for p in counts.products] == [(c, macs) for c in ("dispatch", "trace", "closed_form")]
    assert counts.n_parameters == counts.n_trainable == parameters
    assert [p.uncounted for p in counts.products] == [{}, {}, {}]
    assert counts.disagreement == 0


def test_published_sizes() -> None:
    """The headline has 18 858 parameters, the CNNs about 2.3k and 66k; the compact nets those of the guide."""
    assert HAND["mlp-64-32"][0] == 18_858
    assert [HAND[name][0] for name in ("mlp-16-12", "sepconv-6-9-10", "conv-12-18-20")] == [4_446, 628, 5_872]
    assert HAND["cnn-4"][0] == pytest.approx(2_300, rel=0.05)
    assert HAND["cnn-32"][0] == pytest.approx(66_000, rel=0.05)


def test_lecun_units_and_connections() -> None:
    """The 1989 net has 1 256 units, 64 660 connections and 9 760 free parameters."""
    net = LeCun1989(INPUT, 10)
    maps1, maps2 = net.h1_bias.numel(), net.h2_bias.numel()
    units = 256 + maps1 + maps2 + net.h3.out_features + net.out.out_features
    fan_in2 = 8 * 25
    connections = maps1 * (25 + 1) + maps2 * (fan_in2 + 1) + (192 + 1) * 30 + (30 + 1) * 10
    assert (units, connections, sum(p.numel() for p in net.parameters())) == (1256, 64660, 9760)


def test_lecun_maps_see_eight_of_twelve() -> None:
    """Each group of second-layer maps reads two different quarters of the first layer; each quarter is read twice."""
    assert all(len(set(pair)) == 2 for pair in GROUPS)
    assert sorted(part for pair in GROUPS for part in pair) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", DIGITS)
def test_scores_have_one_column_per_class(name: str) -> None:
    """Any batch size gives (batch, 10), and an example's scores do not depend on its neighbours."""
    torch.manual_seed(0)
    network = MODELS[name].build().eval()
    images = torch.randn(5, *INPUT)
    with torch.inference_mode():
        together, alone = network(images), network(images[2:3])
    assert together.shape == (5, 10)
    assert torch.allclose(together[2:3], alone, atol=1e-5)


def test_counting_leaves_the_network_alone() -> None:
    """Counting updates no running statistic and moves no weight."""
    network = MODELS["cnn-4"].build().train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    measure_counts(network, INPUT)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert network.training


def test_attention_counts_its_products() -> None:
    """Scaled dot-product attention is counted: L S (E + Ev) a head, in agreement with the dispatcher."""

    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heads = x.view(1, 2, 7, 4)
            return torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)

    counts = measure_counts(Attention(), (2, 7, 4))
    assert [p.macs for p in counts.products] == 2 * [2 * 7 * 7 * (4 + 4)]


def test_listing_names_imports_no_torch() -> None:
    """The registry can be read without torch."""
    modules = "dlmi_models, dlmi_tasks, dlmi_bench.backends, dlmi_bench.suite.suites"
    program = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
