"""Gates of ONNX files as other people's tools write them: several inputs, a fixed batch, weights in other files."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from dlmi_bench.backends import BACKENDS
from dlmi_bench.backends.examples import NamedArrays
from dlmi_bench.errors import DataError
from dlmi_bench.gating.latency.benchmark import Failure, GateBenchmark, SessionRequest, Timings
from dlmi_bench.gating.latency.rounds import run_inproc_job
from dlmi_bench.gating.sides.baseline import file_path, load_baseline
from dlmi_bench.gating.sides.files import load_file_candidate, save_files
from dlmi_bench.jobs.inputs import load_labelled
from dlmi_bench.jobs.worker import run_here
from foreign_files import (
    draw,
    make_layers,
    make_text_model,
    save,
    save_with_data,
)

FLOAT = TensorProto.FLOAT
ONNXRUNTIMES = ["onnxruntime", "onnxruntime-binding"]


def answer(model: onnx.ModelProto, folder: Path, examples: Any, **choices: Any) -> np.ndarray:
    return BACKENDS["onnxruntime"].load(save(model, folder / "m.onnx"), **choices).run(examples)


class FakeWorker:
    """Does the job in this process."""

    def __enter__(self) -> "FakeWorker":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, request: Any) -> Any:
        return run_here(request, lambda *_: None)


@pytest.fixture(autouse=True)
def _work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlmi_bench.gating.sides.files.Worker", FakeWorker)


def save_labelled(folder: Path, examples: NamedArrays | np.ndarray, n_classes: int) -> Path:
    arrays = examples.arrays if isinstance(examples, NamedArrays) else {"x": examples}
    np.savez(folder / "t.npz", y=np.arange(len(examples)) % n_classes, **arrays)
    return folder / "t.npz"


def time_gate(baseline: Path, candidate: Path, batch: int, shape: tuple[int, ...]) -> Timings | Failure:
    """One benchmark of a gate's session, as its worker times it."""
    benchmark = GateBenchmark(
        backend="onnxruntime",
        batch=batch,
        input_shape=shape,
        candidate_shape=shape,
        baseline=baseline,
        candidate=candidate,
        n_calls=10,
    )
    session = SessionRequest(benchmarks={"m@1": benchmark}, n_rounds=2, order_seed=0)
    return run_inproc_job(session, lambda *_: None).benchmarks["m@1"]


def test_gate_keeps_other_files_under_their_hash(tmp_path: Path) -> None:
    """The copy in the baseline answers alone, in a folder that it shares; its size is that of both files."""
    path = save_with_data(tmp_path / "a")
    test = save_labelled(tmp_path, draw(6, 16), 4)
    (entry,) = save_files((path,), test, tmp_path / "baseline", "first").entries
    load_baseline(tmp_path / "baseline")
    path.with_name("m.onnx_data").rename(tmp_path / "gone")
    copy = file_path(tmp_path / "baseline", entry.artifact("onnx"))
    whole = save(make_layers(), tmp_path / "whole.onnx")
    scores = [BACKENDS["onnxruntime"].load(file).run(draw(2, 16)) for file in (copy, whole)]
    assert np.array_equal(*scores)
    data = entry.artifact("onnx-data-0")
    assert entry.costs["onnx_size_bytes"] == path.stat().st_size + data.size_bytes
    file_path(tmp_path / "baseline", data).write_bytes(b"altered")
    with pytest.raises(DataError, match=r"\.bin: altered"):
        load_baseline(tmp_path / "baseline")


def test_gate_takes_several_inputs(tmp_path: Path) -> None:
    """Saved, judged on the arrays of both inputs, and timed on random ones of their types."""
    path = save(make_text_model(), tmp_path / "m.onnx")
    examples = NamedArrays({"ids": np.arange(48).reshape(6, 8) % 5, "mask": np.ones((6, 8), np.int64)})
    test = save_labelled(tmp_path, examples, 3)
    (entry,) = save_files((path,), test, tmp_path / "baseline", "first").entries
    expected = (draw(5, 6)[examples.arrays["ids"]].mean(1) @ draw(6, 3)).argmax(1)
    assert entry.trainings[0].test_accuracy == (expected == np.arange(6) % 3).mean()
    assert isinstance(time_gate(path, path, 4, entry.input_shape), Timings)


def test_gate_takes_a_fixed_batch(tmp_path: Path) -> None:
    """All examples are judged in batches of four; the entry says that it is timed in no other."""
    model = make_layers()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    path = save(model, tmp_path / "m.onnx")
    (entry,) = save_files((path,), save_labelled(tmp_path, draw(6, 16), 4), tmp_path / "baseline", "first").entries
    assert entry.batch == 4
    assert isinstance(time_gate(path, path, 4, (16,)), Timings)
    assert isinstance(time_gate(path, path, 1, (16,)), Failure)


def test_labels_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    """Classes from 1 to 4 of a file that scores four: the best of them would never be right."""
    path = save(make_layers(), tmp_path / "m.onnx")
    np.savez(tmp_path / "t.npz", x=draw(4, 16), y=np.arange(1, 5))
    with pytest.raises(DataError, match="y has classes 1 to 4, the file scores 4"):
        load_file_candidate(path, load_labelled(tmp_path / "t.npz"))
