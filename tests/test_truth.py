"""What runtimes are compared with: the answers of eager, or of onnx's own evaluator, to the same random inputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlmi_bench.backends import Batch
from dlmi_bench.errors import BenchError
from dlmi_bench.jobs.parity import PARITY
from dlmi_bench.jobs.profile import _compare
from dlmi_bench.jobs.reference import Reference, compute_file_reference, compute_network_reference
from dlmi_bench.jobs.subject import Subject
from stand_ins import PRODUCT, write_product

SUBJECT = Subject(kind="factory", name="mine:net", input_shape=(6,))


class Network(nn.Module):
    """One layer, and something to do with its answer."""

    def __init__(self, finish: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.out, self.finish = nn.Linear(6, 4), finish

    def forward(self, x: Tensor) -> object:
        return self.finish(self.out(x.float()))


def make_images(n: int = 16) -> Batch:
    return np.random.default_rng(0).standard_normal((n, 6)).astype(np.float32)


def ask(finish: Callable[[Tensor], object]) -> Reference:
    return compute_network_reference(SUBJECT, Network(finish), make_images())


def test_network_for_float32_alone_lacks_parity_only(tmp_path: Path) -> None:
    """Where eager does not run in float64 its scores stay, and each figure of parity gives the reason."""
    truth = ask(lambda y: y)
    assert truth.eager is not None
    assert truth.eager.shape == (16, 4)
    figures = _compare(truth.eager, truth.save(tmp_path), {"backend": "eager"})
    assert [(figure.name, figure.value) for figure in figures] == [(name, None) for name in PARITY]
    assert all("eager does not run in float64: RuntimeError" in figure.reason for figure in figures)


def test_eager_in_float64_is_the_reference(tmp_path: Path) -> None:
    """A network that takes both types is compared with the answers in the finer one."""
    network = nn.Sequential(nn.Linear(6, 4))
    truth = compute_network_reference(SUBJECT, network, make_images())
    exact = network.double()(torch.from_numpy(make_images()).double()).detach().numpy()
    assert truth.reference is not None
    assert np.abs(truth.reference - exact).max() < 1e-14
    (error, *_) = _compare(exact.astype(np.float32), truth.save(tmp_path), {"backend": "eager"})
    assert error.value is not None
    assert 0 < error.value < 1e-6


@pytest.mark.parametrize(
    ("finish", "what"),
    [
        (lambda y: (y, y), "answers with tuple"),
        (lambda y: {"scores": y}, "answers with dict"),
        (lambda y: y.sum(), r"answers with \(\) of float32"),
        (lambda y: y.reshape(1, -1), r"answers with \(1, 64\) of float32"),
        (lambda y: y.squeeze(0), r"answers with \(4,\) of float32"),
        (lambda y: y.argmax(1, keepdim=True), r"answers with \(16, 1\) of int64"),
        (lambda y: y + torch.randn(4), "answers otherwise when asked again"),
        (lambda y: y - y.mean(0), "answers otherwise when asked again"),
        (lambda y: y.reshape(1, 4), "does not take inputs of 16,6: RuntimeError"),
        (lambda y: exec("raise SystemExit('bye')"), "does not take inputs of 16,6: SystemExit: bye"),  # noqa: S102
    ],
)
def test_answers_that_are_no_scores(finish: Callable[[Tensor], object], what: str) -> None:
    """A network must answer each example with a row of float32 that depends on it alone; the error says what came."""
    torch.manual_seed(0)
    with pytest.raises(BenchError, match=what):
        ask(finish)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_pass(value: float) -> None:
    """They are a truth about the network, which each row tells of its own runtime."""
    truth = ask(lambda y: torch.full_like(y, value))
    assert not np.isfinite(truth.eager).any()


@pytest.mark.parametrize("batch", ["free", 1, 5])
def test_file_is_asked_in_batches_of_its_own(batch: int | str, tmp_path: Path) -> None:
    """A fixed batch, also one that does not divide the number of examples, changes no answer."""
    truth = compute_file_reference(write_product(tmp_path / "a.onnx", batch=batch), make_images())
    assert truth.eager is not None
    assert np.allclose(truth.eager, make_images() @ PRODUCT, atol=1e-6)


def test_file_that_the_evaluator_cannot_run_lacks_parity_only(tmp_path: Path) -> None:
    """A runtime may know an operator that onnx's evaluator does not: then there is nothing to compare with."""
    truth = compute_file_reference(write_product(tmp_path / "a.onnx", last="Magic"), make_images())
    figures = _compare(make_images(), truth.save(tmp_path), {"backend": "onnxruntime"})
    assert all("does not run the file: NotImplementedError" in figure.reason for figure in figures)


def test_file_of_whole_numbers_is_refused(tmp_path: Path) -> None:
    """Numbers with fractions are not cut for a file that takes whole ones: its type is named."""
    with pytest.raises(BenchError, match="takes int64 for its input 'x', not float32"):
        compute_file_reference(write_product(tmp_path / "a.onnx", kind="INT64"), make_images())


def test_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    """The shape that the file states is named beside the one that was asked for."""
    with pytest.raises(BenchError, match="takes inputs of 3x6, not 3x5"):
        compute_file_reference(write_product(tmp_path / "a.onnx", batch=3), make_images()[:, :5])
