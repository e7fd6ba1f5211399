"""Counts of modules of all kinds: other types, several outputs, layers that are made late, what cannot be copied."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.counts import measure_counts
from dlmi_bench.jobs.counting import run_counts_job
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
        assert (counts.training_flops, counts.training_reason) == (None, "no trainable parameter")


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
