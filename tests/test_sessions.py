"""Sessions of several processes: what their jobs time and check, and what becomes of the others where one fails."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from dlmi_bench.backends import BACKENDS, BackendEntry, Batch, Scores
from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import measure_energy
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs import profile as trial
from dlmi_bench.jobs.measurement import repeat_rows, run_energy_job, run_latency_job
from dlmi_bench.jobs.profile_protocol import RoundsRequest
from dlmi_bench.jobs.protocol import EMPTY, NOT_FINITE, EnergyRequest, LatencyAnswer, LatencyRequest, ModelFiles
from dlmi_bench.jobs.sessions import SessionPlan, Timing, refuse_latency, run_latency_session
from dlmi_bench.jobs.worker import JobError
from dlmi_bench.records import Benchmark, Cell, Figure, Record
from dlmi_bench.store.artifacts import put_artifact
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.measures import run_counts, run_energy, run_latency, run_memory
from dlmi_bench.suite.suites import Suite
from dlmi_models import MODELS
from stand_ins import FakeClock, WattMeter

N_IMAGES = 3
IMAGES = np.arange(N_IMAGES * 4, dtype=np.float32).reshape(N_IMAGES, 1, 2, 2)
SUITE = Suite(tasks=("usps",), backends=("eager", "onnxruntime", "compile"), n_processes=2, batches=(1, 8))


class EchoRunner:
    """Answers with the first two pixels, and from the call after `n_right` on with something else."""

    conditions: ClassVar[dict[str, str | int | float | bool]] = {"precision": "float32"}
    n_right: ClassVar[float] = float("inf")
    shapes: ClassVar[list[tuple[int, ...]]] = []

    def prepare(self, batch: Batch) -> Callable[[], object]:
        self.shapes.append(batch.shape)
        n_calls = 0

        def call() -> Scores:
            nonlocal n_calls
            n_calls += 1
            return batch.reshape(len(batch), -1)[:, :2] + np.float32(n_calls > self.n_right)

        return call

    def read(self, outputs: Scores) -> Scores:
        return outputs

    def active(self) -> nullcontext[None]:
        return nullcontext()


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[BackendEntry]:
    """The runtime `echo` and a task of three images; the process is unpinned afterwards."""
    module = ModuleType("echo")
    module.load = lambda *_, **__: EchoRunner()  # type: ignore[attr-defined]
    module.load_empty = lambda **_: EchoRunner()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "echo", module)
    monkeypatch.setitem(BACKENDS, "echo", BackendEntry("echo", "onnx", "echo"))
    monkeypatch.setattr(EchoRunner, "shapes", [])
    monkeypatch.setattr("dlmi_bench.instruments.latency.MIN_WARMUP_S", 0.0)
    before = os.sched_getaffinity(0)
    yield BACKENDS["echo"]
    os.sched_setaffinity(0, before)


def run_job(folder: Path, **n_wrong: int) -> LatencyAnswer:
    """One process of two batch sizes and of models that were given `n_wrong` other scores when they were judged."""
    models, inputs = {}, str(folder / "inputs.npy")
    np.save(inputs, IMAGES)
    for name, n in (n_wrong or {"m": 0}).items():
        scores = IMAGES.reshape(N_IMAGES, -1)[:, :2] + np.float32([[0]] * (N_IMAGES - n) + [[1]] * n)
        np.save(folder / f"{name}.npy", scores)
        models[name] = {"path": name, "inputs": inputs, "scores": str(folder / f"{name}.npy")}
    common = {"backend": "echo", "batches": [1, 8], "n_rounds": 4, "n_threads": 1, "order_seed": 0}
    request = LatencyRequest.model_validate({**common, "models": models, "n_calls": {}})
    return run_latency_job(request, lambda *_: None)


def test_a_batch_is_whole_where_the_task_has_fewer_images(echo: BackendEntry, tmp_path: Path) -> None:
    """Of three images a batch of eight has eight rows, the first after the last again, and so have its scores."""
    answer = run_job(tmp_path)
    assert set(answer.traces) == {EMPTY, "m@1", "m@8"}
    assert EchoRunner.shapes == [(1, 1, 1, 4), (1, 1, 2, 2), (8, 1, 2, 2)]
    assert repeat_rows(IMAGES, 8)[:, 0, 0, 0].tolist() == [0, 4, 8, 0, 4, 8, 0, 4]


def test_empty_call_takes_volumes_as_images(
    echo: BackendEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The empty program has four axes, so that it gets a volume's voxels in the last of them."""
    monkeypatch.setattr(sys.modules[__name__], "IMAGES", IMAGES.reshape(N_IMAGES, 1, 1, 2, 2))
    run_job(tmp_path)
    assert EchoRunner.shapes == [(1, 1, 1, 4), (1, 1, 1, 2, 2), (8, 1, 1, 2, 2)]


def test_timed_outputs_must_be_those_of_the_accuracy_run(echo: BackendEntry, tmp_path: Path) -> None:
    """Other scores for the last image, which no batch of one could tell; of the model beside it nothing is said."""
    wrong = run_job(tmp_path, m=1, right=0).wrong
    assert list(wrong) == ["m"]
    assert "m at batch 8" in wrong["m"][0]


def test_output_of_a_timed_call_is_looked_at(
    echo: BackendEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes once it is warm is found."""
    monkeypatch.setattr(EchoRunner, "n_right", 101)
    assert "differ from the accuracy run's" in run_job(tmp_path).wrong["m"][0]


@pytest.mark.parametrize("n_right", [101, float("inf")])
def test_profile_looks_at_them_too(echo: BackendEntry, monkeypatch: pytest.MonkeyPatch, n_right: float) -> None:
    """The rounds of a profile must repeat what the runtime answered when it was loaded."""
    monkeypatch.setattr(EchoRunner, "n_right", n_right)
    runner, images = EchoRunner(), repeat_rows(IMAGES, 8)
    calls = {name: runner.prepare(images) for name in (EMPTY, "8")}
    scores = images.reshape(8, -1)[:, :2]
    monkeypatch.setattr(trial, "_LOADED", [trial.LoadedRuntime(echo, runner, runner, scores, calls)])
    request = RoundsRequest(n_rounds=2, order_seed=0, n_calls={}, single="8", cpus=tuple(list_cpus()))
    if n_right == 101:
        with pytest.raises(MeasurementError, match="batch 8"):
            trial.run_rounds_job(request, lambda *_: None)
    else:
        trial.run_rounds_job(request, lambda *_: None)


def test_energy_of_1000_inferences_says_of_how_many_it_is(
    echo: BackendEntry, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 calls of 10 ms fill a window of 3 s twice: at 1 W 10 J a thousand, and the figure names the 200."""
    monkeypatch.setattr(EchoRunner, "prepare", lambda *_: lambda: clock.work(10**7))
    monkeypatch.setattr("dlmi_bench.jobs.measurement.measure_latency", lambda *_: {"calls": SimpleNamespace(n_calls=4)})
    monkeypatch.setattr("dlmi_bench.jobs.measurement.measure_energy", partial(measure_energy, clock=clock))
    monkeypatch.setattr("dlmi_bench.jobs.measurement.energy_meter", lambda: WattMeter(clock, 1.0))
    monkeypatch.setattr("dlmi_bench.jobs.measurement.idle_baseline", lambda _: None)
    np.save(tmp_path / "inputs.npy", IMAGES)
    inputs = str(tmp_path / "inputs.npy")
    request = EnergyRequest(backend="echo", path="p", inputs=inputs, energy_window_s=3.0)
    answer = run_energy_job(request, lambda *_: None)
    assert (answer[0].value, answer[0].n) == (pytest.approx(10.0), 2)
    assert answer[0].method == "one window of 4.0 s, 2 repeats of 200 calls, scaled to 1 000; gross"


TIMED = (EMPTY, "m@1", "m@8", "other@1", "other@8")


class FakeWorker:
    """A process that answers at once; `broken` are backends in which it dies."""

    payloads: ClassVar[list[dict[str, Any]]] = []
    broken: ClassVar[set[str]] = set()
    is_pinned: ClassVar[bool] = True
    wrong: ClassVar[dict[str, list[str]]] = {}  # in the second process

    def __init__(self, index: int = 0, *, n_threads: int = 1) -> None:
        self.index = index

    def __enter__(self) -> "FakeWorker":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, request: Any, *_: object) -> Any:
        return request.parse_answer(self._answer(request.job, request.model_dump(mode="json")))

    def _answer(self, function: str, payload: dict[str, Any]) -> Any:
        self.payloads.append(payload)
        if payload.get("backend") in self.broken:
            raise JobError("worker died (signal SIGSEGV)\nlast words", "run it again")
        if function.endswith("run_counts_job"):
            return []
        if function.endswith("run_memory_job"):
            return [Figure(name="peak_bytes", value=1, kind="measured", source="x").model_dump(mode="json")]
        cpu_s = [1e-3, 1e-3, 1e-4, 1e-3]
        trace = {"n_calls": 7 + self.index, "wall_s": [1e-3] * 4, "cpu_s": cpu_s, "n_switches": [1, 0]}
        return {
            "traces": dict.fromkeys(TIMED, trace),
            "conditions": {name: {"threads": payload["n_threads"]} for name in ("m", "other")},
            "neighbours": {"pressure": 0.0, "steal": 0.0},
            "is_pinned": self.is_pinned,
            "wrong": self.wrong if self.index == 1 else {},
        }


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    for module in ("jobs.sessions", "suite.measures", "suite.context"):
        monkeypatch.setattr(f"dlmi_bench.{module}.Worker", FakeWorker)
    monkeypatch.setattr("dlmi_bench.suite.context.run_peaks", lambda _: [])
    for name, value in (("payloads", []), ("broken", set()), ("is_pinned", True), ("wrong", {})):
        monkeypatch.setattr(FakeWorker, name, value)
    return FakeWorker


def run_session(n_threads: int = 1) -> Timing:
    models = {"m": ModelFiles(path="p", inputs="i", scores="s")}
    return run_latency_session("eager", models, SUITE, lambda *_: None, n_threads=n_threads)["m"]


def test_all_processes_use_the_calls_of_the_first(worker: type[FakeWorker]) -> None:
    """The first calibrates, the second gets its counts, each has an order of its own; two processes, as planned."""
    latency = run_session().figures[0]
    assert [p["n_calls"] for p in worker.payloads] == [
        {},
        dict.fromkeys((EMPTY, "m@1", "m@8", "other@1", "other@8"), 7),
    ]
    assert [p["order_seed"] for p in worker.payloads] == [0, 1]
    assert (latency.name, latency.n) == ("latency_s", 2)


def test_unpinned_processes_are_doubled(worker: type[FakeWorker]) -> None:
    """Where pinning is refused there are twice as many, and the row says so."""
    worker.is_pinned = False
    latency = run_session().figures[0]
    assert (latency.n, len(worker.payloads)) == (4, 4)
    assert any(note.text.startswith("pinned=false") for note in latency.notes)


def test_pre_empted_rounds_are_kept_by_their_number(worker: type[FakeWorker]) -> None:
    """The third block of four took ten times its CPU time: its index is in the details, in each process."""
    processes = run_session().processes[Benchmark("a", "eager", 8).key]
    assert [p["preempted_rounds"] for p in processes] == [[2], [2]]
    assert [p["preempted_share"] for p in processes] == [0.25, 0.25]


def test_session_that_dies_gives_reasons(worker: type[FakeWorker]) -> None:
    """Each figure says what happened, in one line; the failure has all of it."""
    worker.broken = {"eager"}
    timing = run_session()
    reasons = {(f.value, f.reason, f.conditions["threads"]) for f in timing.figures}
    assert reasons == {(None, "failed: worker died (signal SIGSEGV)", 1)}
    assert {(f.name, f.conditions["batch"]) for f in timing.figures} == {
        (name, batch)
        for name in ("latency_s", "cold_start_s", "throughput_hz", "overhead_share")
        for batch in SUITE.batches
    }
    assert "last words" in timing.failures[0]


def test_wrong_answers_of_one_model_take_no_other_with_it(worker: type[FakeWorker]) -> None:
    """They were wrong in one process of two: the model has no latency, says why, and its neighbour keeps its own."""
    worker.wrong = {"other": ["outputs differ by 1e-2", "measure anew"]}
    models = {name: ModelFiles(path="p", inputs="i", scores="s") for name in ("m", "other")}
    timings = run_latency_session("eager", models, SUITE, lambda *_: None)
    assert {figure.reason for figure in timings["other"].figures} == {"failed: outputs differ by 1e-2"}
    assert timings["other"].failures == ("latency on eager, 1 threads: outputs differ by 1e-2\n  remedy: measure anew",)
    assert not timings["other"].rounds_s
    assert timings["m"].figures[0].value == pytest.approx(1e-3)
    assert not timings["m"].failures


def test_meter_that_fails_costs_the_energy_only(worker: type[FakeWorker], context: SuiteContext) -> None:
    """Gross and net say what happened; the record is no finished one."""

    def call(*_: object) -> None:
        raise MeasurementError("the counter stands still", "run on bare metal")

    context.ask = call  # type: ignore[method-assign,assignment]
    (record,) = run_energy(context, [Cell(kind="energy", task="usps", model="m")], lambda *_: None)
    reasons = [(f.name, f.reason, f.conditions["idle_subtracted"]) for f in record.figures]
    assert reasons == [("inference_energy_j", "failed: the counter stands still", is_net) for is_net in (False, True)]
    assert record.failures == ("energy on onnxruntime: the counter stands still\n  remedy: run on bare metal",)


@pytest.mark.parametrize(("kind", "n"), [("measured", 2), ("modelled", 1)])
def test_measured_joules_have_a_spread(
    worker: type[FakeWorker], context: SuiteContext, monkeypatch: pytest.MonkeyPatch, kind: str, n: int
) -> None:
    """Those of a counter come from as many processes as the suite says, those of a model from one."""
    readings = iter((3.0, 5.0))

    def ask(_: object, request: Any, *__: object) -> Any:
        joules = {"name": "inference_energy_j", "kind": kind, "source": "x", "method": "one window", "n": 9}
        answer = [
            {**joules, "value": next(readings), "conditions": {"component": "cpu", "idle_subtracted": False}},
            Figure(name="inference_energy_j", value=None, reason="too short", kind="measured", source="").model_dump(),
        ]
        return request.parse_answer(answer)

    monkeypatch.setattr(worker, "ask", ask)
    monkeypatch.setattr(context, "ask", partial(ask, context))
    (record,) = run_energy(context, [Cell(kind="energy", task="usps", model="m")], lambda *_: None)
    joules, lacking = record.figures
    assert (joules.value, joules.lo, joules.hi, joules.n) == ((4.0, 3.0, 5.0, 2) if n == 2 else (3.0, None, None, 9))
    assert joules.samples == ((3.0, 5.0) if n == 2 else ())
    assert joules.method.endswith("one window")
    assert lacking.reason == "too short"


def test_more_threads_than_cpus_is_no_failure(worker: type[FakeWorker]) -> None:
    """It will not be otherwise the next time."""
    timing = run_session(n_threads=4096)
    assert not timing.failures
    assert "needs 4096 CPUs" in timing.figures[0].reason


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SuiteContext]:
    """With a model that was judged on every runtime of the suite, CUDA included."""
    cell = Cell(kind="train", task="usps", model="m")
    backends = (*SUITE.backends, "cuda")
    judged = [
        Figure(name="test_accuracy", value=1, kind="measured", source="x", conditions={"backend": name})
        for name in backends
    ]
    roles = ("torch", "onnx", "validation_scores", *(f"validation_scores-{name}" for name in backends))
    artifacts = [put_artifact(tmp_path, role, role[:1].encode(), ".npy") for role in roles]
    suite = SUITE.model_copy(update={"backends": backends, "threads": (1, 2)})
    monkeypatch.setitem(MODELS, "m", MODELS["softmax"])
    context = SuiteContext(suite, tmp_path, TaskData(["usps"]))
    context.trained["usps", "m"] = Record(cell=cell, figures=tuple(judged), artifacts=tuple(artifacts))
    yield context
    context._worker = None  # a fake one, which has nothing to close
    context.close()


def test_runtime_that_dies_takes_no_other_with_it(
    worker: type[FakeWorker], context: SuiteContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory and latency of the others are there, wherever there are CPUs for two threads; the record is unfinished."""
    monkeypatch.setattr("dlmi_bench.jobs.sessions.list_cpus", lambda: [0, 1])
    worker.broken = {"eager"}
    for kind, measure, name in (("memory", run_memory, "peak_bytes"), ("latency", run_latency, "latency_s")):
        (record,) = measure(context, [Cell(kind=kind, task="usps", model="m")], lambda *_: None)  # type: ignore[arg-type]
        assert all(failure.startswith(f"{kind} on eager") for failure in record.failures)
        assert record.failures
        figures = [figure for figure in record.figures if figure.name == name]
        assert any(figure.value is not None for figure in figures)
        assert {f.conditions.get("backend") for f in figures if f.value is None} == {"eager"}


def test_one_cpu_has_no_rows_of_two_threads(
    worker: type[FakeWorker], context: SuiteContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say what they need and what there is, nothing is started for them, and the record is a finished one."""
    monkeypatch.setattr("dlmi_bench.jobs.sessions.list_cpus", lambda: [3])
    (record,) = run_latency(context, [Cell(kind="latency", task="usps", model="m")], lambda *_: None)
    found = {(f.conditions["threads"], f.reason) for f in record.figures if f.name == "latency_s"}
    assert found == {(1, ""), (2, "needs 2 CPUs to pin to, 1 are allowed")}
    assert {payload.get("n_threads") for payload in worker.payloads} == {1}
    assert not record.failures


def test_memory_of_a_compiled_program_is_read_in_the_second_process(
    worker: type[FakeWorker], context: SuiteContext
) -> None:
    """The first one holds the compiler; its figures are not kept."""
    (record,) = run_memory(context, [Cell(kind="memory", task="usps", model="m")], lambda *_: None)
    assert [p["backend"] for p in worker.payloads] == ["eager", "onnxruntime", "compile", "compile", "cuda"]
    assert len(record.figures) == 4


def test_device_is_timed_with_one_thread(
    context: SuiteContext, worker: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several threads of the host are sessions of their own, but not for a runtime that computes on the GPU."""
    asked: list[tuple[str, int]] = []

    def run(
        backend: str, models: dict[str, ModelFiles], plan: SessionPlan, _: object, *, n_threads: int
    ) -> dict[str, Timing]:
        asked.append((backend, n_threads))
        return {name: Timing(refuse_latency(plan, "fake", backend=backend)) for name in models}

    monkeypatch.setattr("dlmi_bench.suite.measures.run_latency_session", run)
    run_latency(context, [Cell(kind="latency", task="usps", model="m")], lambda *_: None)
    assert asked == [*((b, n) for b in ("eager", "onnxruntime", "compile") for n in (1, 2)), ("cuda", 1)]


def test_model_that_diverged_has_a_reason_in_place_of_its_8_bit_size(
    context: SuiteContext, worker: type[FakeWorker]
) -> None:
    """The training wrote no such file; the files that there are have their sizes."""
    (record,) = run_counts(context, [Cell(kind="counts", task="usps", model="m")], lambda *_: None)
    found = {f.conditions["artifact"]: (f.value, f.reason) for f in record.figures}
    assert found == {"torch": (1, ""), "onnx": (1, ""), "onnx-int8": (None, NOT_FINITE)}


def test_peaks_of_the_machine_are_measured_once_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second task of a run gets those of the first; another number of threads has its own."""
    asked: list[int] = []

    def run_peaks(n_threads: int) -> list[Figure]:
        asked.append(n_threads)
        return [Figure(name="peak_hz", value=n_threads, kind="measured", source="x")]

    monkeypatch.setattr("dlmi_bench.suite.context.run_peaks", run_peaks)
    context = SuiteContext(SUITE, tmp_path, TaskData(()))
    assert [context.find_peaks(n)[0].value for n in (1, 2, 1)] == [1, 2, 1]
    assert asked == [1, 2]
