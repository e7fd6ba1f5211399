"""Profiles: the table's rows, and the command on models that are wrong in every way."""

import re
import time
from itertools import combinations, count
from pathlib import Path
from threading import Barrier, Event
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.latency import Trace
from dlmi_bench.instruments.meters import MeterStack
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.profile import LoadedRuntime, run_prepare_job, run_rounds_job
from dlmi_bench.jobs.profile_protocol import LoadAnswer, PrepareRequest, RoundsRequest
from dlmi_bench.jobs.protocol import EMPTY
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.profiling.profile import Profile, _list_waves, _measure
from dlmi_bench.profiling.row import ProfileContext, RuntimeProfile, _make_load_figure
from dlmi_bench.profiling.text import format_profile
from dlmi_bench.records import Figure, unavailable
from dlmi_bench.selftest.fakes import FakeClock, WattMeter
from dlmi_bench.units import SCALES
from foreign_files import make_layers, save
from stand_ins import Command, check_answer, write_product

MINE = """
import os
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 4)

class Good(Base):
    def forward(self, x):
        return self.out(x)

class NotANumber(Base):
    def forward(self, x):
        return self.out(x) * float("nan")

class FloatOnly(Base):
    def forward(self, x):
        return self.out(x.float())

class Exit(Base):
    def __init__(self):
        raise SystemExit(3)

class Interrupt(Base):
    def __init__(self):
        raise KeyboardInterrupt

class ExitLater(Base):
    def forward(self, x):
        raise SystemExit(3)

class NoExport(Base):
    def forward(self, x):
        y = self.out(x)
        return y if y.sum().item() > 1e9 else 2 * y

class Crash(Base):
    def forward(self, x):
        os.abort()

def number():
    return 3
"""

# How long a call takes is the machine's affair, in which of the units that is told too.
DURATIONS, RATES = ({symbol for _, symbol in SCALES[unit]} for unit in ("s", "hz"))
NO_METER = MeterStack([], {"rapl": MeasurementError("no meter", "buy one")})


@pytest.fixture
def command(tmp_path: Path) -> Command:
    (tmp_path / "mine.py").write_text(MINE)
    return Command(tmp_path)


def test_rows_that_fail_alike_share_a_sentence() -> None:
    """Each row stands in the table; one sentence names both and the remedy; no line is wider than 80 columns."""
    rows = [
        RuntimeProfile("a", error="mat1 and mat2 " * 20, remedy="name it"),
        RuntimeProfile("b", error="mat1 and mat2 " * 20, remedy="name it"),
    ]
    figure = Figure(name="latency_s", value=1e-3, kind="measured", source="x", conditions={"batch": 1})
    rows.append(RuntimeProfile("c", figures=[figure, unavailable("max_score_error", "not in float64")]))
    profile = Profile(Subject(kind="model", name="m", input_shape=(1,)), (1,), rows=rows, error="no counts")
    lines = format_profile(profile, "m").splitlines()
    assert sum(line.startswith("  a, b: mat1") for line in lines) == 1
    assert sum("see below" in line for line in lines) == 4
    assert any(line.startswith("  c ") and "1.00 ms" in line for line in lines)
    assert "  c: no parity: not in float64" in lines
    assert max(map(len, lines)) <= 80


def test_profile_does_not_steer_the_terminal() -> None:
    """Control characters in the title, in errors, reasons and notes of a model are shown as such, one line for each."""
    note = Figure(name="n_parameters", value=1, kind="counted", source="x", notes=("not counted: \x1b[2J\n  fine",))
    rows = [
        RuntimeProfile("a", error="\x1b[31mboom", remedy="\x07"),
        RuntimeProfile("b", figures=[unavailable("max_score_error", "\x1b")]),
    ]
    profile = Profile(Subject(kind="model", name="m", input_shape=(1,)), (1,), counts=[note], rows=rows)
    lines = format_profile(profile, "\x1b]0;m").split("\n")
    assert not any(character in line for line in lines for character in "\x1b\x07")
    assert "  note: not counted: \ufffd[2J   fine" in lines
    assert lines[0].startswith("\ufffd]0;m, one example")


def test_rows_without_a_roofline_share_a_sentence() -> None:
    """Two rows in 8-bit integers: n/a in the table, and one line below it that says why."""
    identity = {"batch": 1, "precision": "int8", "provider": "CPU"}
    values = {"latency_s": 1e-3, "overhead_share": 0.1}
    figures = [
        Figure(name=name, value=value, kind="measured", source="x", conditions=identity)  # type: ignore[arg-type]
        for name, value in values.items()
    ]
    rows = [RuntimeProfile(name, figures=figures) for name in "ab"]
    profile = Profile(Subject(kind="model", name="m", input_shape=(1,)), (1,), rows=rows)
    lines = format_profile(profile, "m").splitlines()
    assert [line.split()[-2:] for line in lines if "10 %" in line] == [["n/a", "n/a"]] * 2
    assert "  attainable of a, b: n/a, peak of float32 only" in lines


def test_time_to_load_is_that_of_the_first_process() -> None:
    """It compiled for 40 s, the next found its cache: 40 s, and the range has both."""
    figure = _make_load_figure([LoadAnswer(figures=(), conditions={}, load_s=load_s) for load_s in (40.0, 3.0, 2.0)])
    assert (figure.value, figure.lo, figure.hi, figure.n) == (40.0, 2.0, 40.0, 3)


class FakeWorker:
    """Answers at once what a runtime would, and notes when each job began and ended."""

    log: ClassVar[list[tuple[str, float, float]]] = []
    meeting: ClassVar[Barrier] = Barrier(2, timeout=30)  # of the loads of a wave of two, however slow the machine is

    def __init__(self, index: int = 0, *, n_threads: int = 1) -> None:
        self.index = index

    def __enter__(self) -> "FakeWorker":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, request: Any) -> Any:
        job, begin_s = request.job.partition(":")[2], time.monotonic()
        if job == "run_load_job" and not BACKENDS[request.backend].is_compiled:
            self.meeting.wait()
        time.sleep(0.002)
        self.log.append((job, begin_s, time.monotonic()))
        trace = {"n_calls": 3, "wall_s": [1e-3], "cpu_s": [1e-3], "single_s": [2e-3] * 60}
        answers = {
            "run_load_job": {"figures": [], "conditions": {"backend": "x"}, "load_s": 0.5},
            "run_rounds_job": {
                "traces": {"1": trace, EMPTY: trace},
                "neighbours": {"pressure": 0.5, "steal": 0.0},
                "is_pinned": True,
            },
            "run_calls_job": None,
        }
        return request.parse_answer(answers[job])


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[RuntimeProfile]:
    """Three runtimes, one of which compiles and so loads alone, measured with a meter that does not work."""
    monkeypatch.setattr("dlmi_bench.profiling.profile.Worker", FakeWorker)
    monkeypatch.setattr("dlmi_bench.profiling.profile.list_cpus", lambda: [0, 1])
    monkeypatch.setattr(FakeWorker, "log", [])
    rows = [RuntimeProfile(name) for name in ("eager", "compile", "onnxruntime")]
    subject = Subject(kind="model", name="softmax", input_shape=(1, 16, 16))
    context = ProfileContext(subject, (1,), {"torch": "a", "onnx": "b"}, NO_METER)
    _measure(rows, context, time.monotonic() + 0.2, lambda *_: None)
    for row in rows:
        row.summarise((1,))
    return rows


def test_nothing_runs_beside_what_is_timed(rows: list[RuntimeProfile]) -> None:
    """Loads of two runtimes overlap; the rounds of one overlap with nothing."""
    log = FakeWorker.log
    assert [sum(job == name for job, *_ in log) for name in ("run_load_job", "run_rounds_job")] == 2 * [
        sum(len(row.rounds) for row in rows)
    ]
    beside = [
        {first[0], second[0]} for first, second in combinations(log, 2) if first[1] < second[2] and second[1] < first[2]
    ]
    assert {"run_load_job"} in beside
    assert all(jobs == {"run_load_job"} for jobs in beside)


def test_rows_that_compile_load_together() -> None:
    """The compilers share the CPUs until the last is done, the longest first; the others come two by two, in order."""
    names = ("eager", "compile", "compile-freezing", "aotinductor", "onnxruntime", "onnxruntime-int8")
    waves = [[row.backend for row in wave] for wave in _list_waves([RuntimeProfile(name) for name in names], 2)]
    compiled = ["aotinductor", "compile-freezing", "compile"]
    assert waves == [compiled, ["eager", "onnxruntime"], ["onnxruntime-int8"]]
    assert _list_waves([], 2) == []


def test_each_load_has_a_cpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three loads on two CPUs: two at once on different ones, and the third takes the one that is free first."""
    taken: dict[int, int | None] = {}
    turn, has_third_begun = count(), Event()

    def load(row: RuntimeProfile, _worker: object, _sitting: ProfileContext, cpu: int | None) -> None:
        """The first keeps its CPU until the third has begun, so only the second's can be free."""
        place = next(turn)
        taken[place] = cpu
        if place == 2:
            has_third_begun.set()
        if place == 0 and not has_third_begun.wait(timeout=30):
            raise AssertionError("the third waits for the first")
        row.fail("loaded, and not to be timed", "")

    monkeypatch.setattr("dlmi_bench.profiling.profile.Worker", FakeWorker)
    monkeypatch.setattr("dlmi_bench.profiling.profile.list_cpus", lambda: [4, 7])
    monkeypatch.setattr(RuntimeProfile, "load", load)
    rows = [RuntimeProfile(name) for name in ("compile", "compile-freezing", "aotinductor")]
    subject = Subject(kind="model", name="softmax", input_shape=(1, 16, 16))
    _measure(rows, ProfileContext(subject, (1,), {"torch": "a"}, NO_METER), 0.0, lambda *_: None)
    cpu_of_first, cpu_of_second, cpu_of_third = (taken[place] for place in range(3))
    assert {cpu_of_first, cpu_of_second} == {4, 7}
    assert cpu_of_third == cpu_of_second


def test_rounds_hop_between_all_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was pinned to one CPU to load is timed on each of those that the parent may use."""
    visited: list[list[int]] = []
    monkeypatch.setattr("os.sched_setaffinity", lambda _, cpus: visited.append(list(cpus)))
    entry = BACKENDS["onnxruntime"]
    empty, images = entry.load_empty(), np.ones((1, 1, 1, 4), np.float32)
    calls = {name: empty.prepare(images) for name in (EMPTY, "1")}
    monkeypatch.setattr(
        "dlmi_bench.jobs.profile._LOADED", [LoadedRuntime(entry, empty, empty, images.reshape(1, -1), calls)]
    )
    request = RoundsRequest(n_rounds=4, order_seed=0, n_calls={}, single="1", cpus=(0, 1))
    answer = run_rounds_job(request, lambda *_: None)
    assert {cpu for cpus in visited for cpu in cpus} == {0, 1}
    assert len(answer.traces["1"].single_s) == 600
    assert not answer.traces[EMPTY].single_s


def test_row_outlives_its_meter_and_tells_of_its_neighbours(rows: list[RuntimeProfile]) -> None:
    """Without a meter the energy is missing, with the reason; latencies stay, and say that the machine was busy."""
    energy, latency = rows[0].find("inference_energy_j"), rows[0].find("latency_s")
    assert energy is not None
    assert latency is not None
    assert (energy.value, energy.reason) == (None, "no meter")
    assert (latency.value, latency.n) == (1e-3, len(rows[0].rounds))
    assert any(str(note).startswith("noisy: process 1") for note in latency.notes)


def test_energy_is_that_of_all_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of 1 ms fill 0.2 s with 200, which hold 1 600 examples at a batch of 8."""
    monkeypatch.setattr("dlmi_bench.profiling.row.ENERGY_WINDOW_S", 0.0)
    monkeypatch.setattr("dlmi_bench.instruments.energy.HostClock", lambda: clock)
    clock = FakeClock()
    meter, worker = WattMeter(clock, 1.0), SimpleNamespace(ask=lambda *_: clock.work(2_000_000_000))
    row = RuntimeProfile("eager", rounds=[cast("Any", SimpleNamespace(traces={"8": Trace(wall_s=[1e-3])}))])
    context = ProfileContext(Subject(kind="model", name="m", input_shape=(1,)), (8,), {}, meter)
    (gross, *_) = row._measure_energy(cast("Any", worker), context)
    assert gross.value == pytest.approx(2.0)
    assert (gross.conditions["batch"], gross.conditions["n_inferences"]) == (8, 1600)


def test_fresh_networks_are_compared_on_scores_that_differ(tmp_path: Path) -> None:
    """With the statistics of the images 16 examples of thirteen normalised layers spread; without they are one."""
    subject = Subject(kind="model", name="vgg16-c", input_shape=(1, 50, 50))
    request = PrepareRequest(subject=subject, folder=str(tmp_path), n_examples=16, backends=("eager",))
    run_prepare_job(request, lambda *_: None)
    assert np.load(tmp_path / "eager.npy").std(0).mean() > 0.1


def test_profile_of_a_file(command: Command) -> None:
    """A file with a fixed batch and an input of any name: its counts and rows, int8 included; eager has its reason."""
    write_product(command.folder / "a.onnx", batch=1)
    backends = ("onnxruntime", "onnxruntime-binding", "onnxruntime-int8", "eager")
    done = command("profile", "a.onnx", *(word for name in backends for word in ("--backend", name)), "--seconds", "0")
    assert done.returncode == 1
    assert "macs (graph)                          24" in done.stdout
    assert "eager: this runtime cannot load what was given" in done.stdout
    for backend in backends[:3]:
        (latency, rates, singles, costs) = (
            line for line in done.stdout.splitlines() if line.startswith(f"  {backend} ")
        )
        assert DURATIONS & set(latency.split())  # a noisy machine adds a mark
        assert RATES & set(rates.split())
        assert singles.endswith(" 600")
        assert costs.endswith(" of 16")
    assert re.search(r"this machine: [\d.]+ GFLOP/s; reads 512 KiB at [\d.]+, 8.00 MiB at", done.stdout)


def test_file_that_reads_elsewhere_is_refused(command: Command) -> None:
    """Weights outside of the file's folder: one error that names the tensor, before anything is read."""
    write_product(command.folder / "a.onnx", external="../../etc/passwd")
    done = command("profile", "a.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    assert "leaves the folder" in done.stderr
    assert "remedy:" in done.stderr


def test_unknown_backend_is_a_usage_error(command: Command) -> None:
    """It names those that there are."""
    done = command("profile", "mlp-64-32", "--backend", "tpu")
    assert done.returncode == 2
    assert "onnxruntime" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "eager", "onnxruntime"),
    [
        ("Good", "1,6", "", ""),
        ("NotANumber", "1,6", "64 of 64 scores are not finite", "64 of 64 scores are not finite"),
        ("NoExport", "1,6", "", "does not export"),
        ("Good", "1,5", "does not take inputs of 16,5", "does not take inputs of 16,5"),
        ("Crash", "1,6", "SIGABRT", "SIGABRT"),
        ("FloatOnly", "1,6", "", ""),
        ("Exit", "1,6", "SystemExit", "SystemExit"),
        ("Interrupt", "1,6", "KeyboardInterrupt", "KeyboardInterrupt"),
        ("ExitLater", "1,6", "SystemExit", "SystemExit"),
        ("number", "1,6", "not a module", "not a module"),
        ("missing", "1,6", "mine.py has no 'missing'", "mine.py has no 'missing'"),
    ],
)
def test_each_row_has_its_figures_or_its_reason(
    command: Command, name: str, shape: str, eager: str, onnxruntime: str
) -> None:
    """Whatever is wrong with a user's model, the tool lives, each row says what, and the others have figures."""
    arguments = ("--backend", "eager", "--backend", "onnxruntime", "--seconds", "0", "--json")
    done = command("profile", f"mine:{name}", "--input", shape, *arguments)
    (answer,) = check_answer("profile", done.stdout)["profiles"]
    is_disturbed = "INVALID: " in done.stdout  # on a busy machine
    assert done.returncode == (1 if eager or onnxruntime or is_disturbed else 0), done.stderr
    for row, reason in zip(answer["rows"], (eager, onnxruntime), strict=True):
        assert reason in row["error"]
        assert bool(reason) == bool(row["remedy"])
        names = {figure["name"] for figure in row["figures"]}
        wanted = {"latency_s", "peak_bytes", "max_score_error", "inference_energy_j"}
        assert names >= wanted if not reason else not names
        for figure in row["figures"]:
            if figure["name"] == "max_score_error":
                assert ("float64" in figure["reason"]) == (figure["value"] is None) == (name == "FloatOnly")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("softmax", "--test", "t.npz"), "--test is for ONNX files"),
        (("softmax", "--threads", "256"), "CPUs are allowed"),
    ],
)
def test_what_a_profile_cannot_do_is_said_first(command: Command, words: tuple[str, ...], said: str) -> None:
    """A test set for a model that nobody trained, and more threads than there are CPUs."""
    np.savez(command.folder / "t.npz", x=np.zeros((2, 16), np.float32), y=np.array([0, 1]))
    done = command("profile", *words)
    assert (done.returncode, said in done.stderr, done.stdout) == (2, True, ""), done.stderr


@pytest.mark.slow
@pytest.mark.skipif(len(list_cpus()) < 2, reason="one CPU")
def test_profiles_of_files_with_threads_and_a_test_set(command: Command) -> None:
    """One after the other, each at both numbers of threads; the file that made the classes is always right."""
    images = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
    for name, scale in (("right", 1.0), ("wrong", -1.0)):
        save(make_layers(scale=scale), command.folder / f"{name}.onnx")
    runner = BACKENDS["onnxruntime"].load(command.folder / "right.onnx")
    np.savez(command.folder / "t.npz", x=images, y=runner.run(images).argmax(1))
    words = ("--test", "t.npz", "--threads", "1", "--threads", "2", "--backend", "onnxruntime", "--seconds", "0")
    found = check_answer("profile", command("profile", "right.onnx", "wrong.onnx", *words, "--json").stdout)["profiles"]
    figures = [{f["name"]: f for row in profile["rows"] for f in row["figures"]} for profile in found]
    assert [profile["n_threads"] for profile in found] == [1, 2, 1, 2]
    assert [f["latency_s"]["conditions"]["threads"] for f in figures] == [1, 2, 1, 2]
    assert [f["test_accuracy"]["value"] for f in figures[:2]] == [1.0, 1.0]
    assert figures[2]["test_accuracy"]["value"] == figures[3]["test_accuracy"]["value"] < 1.0
