"""Progress of a gate: which process, how long at most, a sign of life, and silence where it is asked for."""

import io
import sys
from pathlib import Path

import pytest

import dlmi_bench
from dlmi_bench.gating.latency.benchmark import Benchmarks, Replicate
from dlmi_bench.gating.latency.decision import INPROC
from dlmi_bench.gating.latency.looks import CONFIRMATION
from dlmi_bench.gating.latency.retry import RETRY
from dlmi_bench.gating.progress import BEAT_S, SILENCE_S, ProgressLines, announce_processes
from stand_ins import Command
from test_gate_run import Machine, make_benchmarks


def tell(indices: list[int], durations_s: list[float], *, is_pinned: bool = True) -> list[str]:
    """Lines about the replicates of those numbers, each of which takes as long as it is told."""
    lines: list[str] = []
    now_s, left = 0.0, iter(durations_s)

    def measure(benchmarks: Benchmarks, index: int) -> Replicate:
        nonlocal now_s
        now_s += next(left)
        machine = Machine()
        machine.is_pinned = is_pinned
        return machine(benchmarks, index)

    told = announce_processes(measure, INPROC, 600.0, lambda line, _: lines.append(line), clock=lambda: now_s)
    for index in indices:
        told(make_benchmarks("a"), index)
    return lines


def test_many_benchmarks_are_counted() -> None:
    """One benchmark is named; of several there is the number, and the worker names each."""
    lines: list[str] = []
    told = announce_processes(Machine(), INPROC, None, lambda line, _: lines.append(line))
    told(make_benchmarks("a", "b"), 0)
    assert lines == ["timing 2 benchmarks: process 1 of 3 to 8"]


def test_time_left_follows_the_slowest_process() -> None:
    """After processes of 5 and 4 s, six of eight are left and may take 5 s each; the first is bounded by its limit."""
    assert tell([0, 1, 2], [5.0, 4.0, 1.0]) == [
        "timing a: process 1 of 3 to 8, at most 10.0 min each",
        "timing a: process 2 of 3 to 8, at most 35.0 s more",
        "timing a: process 3 of 3 to 8, at most 30.0 s more",
    ]


def test_sessions_have_names() -> None:
    """A confirmation and a second session say what they are and count their processes from 1."""
    lines = tell([CONFIRMATION + 1, RETRY, RETRY + CONFIRMATION], [1.0] * 3)
    assert [line.partition(", at most")[0] for line in lines] == [
        "confirming the regression of a: process 2 of 3 to 8",
        "second session, after a disturbance, of a: process 1 of 3 to 8",
        "confirming the regression, in the second session, of a: process 1 of 3 to 8",
    ]


def test_unpinned_sessions_are_twice_as_long() -> None:
    """Where pinning is refused, as the first process shows, 15 more of 2 s each may follow it."""
    assert tell([0, 1], [2.0, 2.0], is_pinned=False)[1] == "timing a: process 2 of 6 to 16, at most 30.0 s more"


def test_steps_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step has a line, what later processes do again has none; what steers a terminal is cleaned."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with ProgressLines("gate") as lines:
        for doing in ("a\x1b", "b", "a\x1b"):
            lines(doing)
    assert sys.stderr.getvalue() == "gate: a\ufffd\ngate: b\n"


def test_long_step_shows_that_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that has had no line for long gets one, with its age; one that has just begun gets none."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    lines = ProgressLines("gate")
    lines("timing")
    begin_s = lines._begin_s
    lines.beat(begin_s + SILENCE_S / 2)
    lines.beat(begin_s + SILENCE_S + 2)
    assert sys.stderr.getvalue() == "gate: timing\ngate: timing: for 12 s now\n"


def test_no_minute_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread looks until it is told to end; a line that was just too young is written by the next look."""
    lines = ProgressLines("gate")
    waits, looks = iter([False, False, True]), []
    monkeypatch.setattr(lines._ended, "wait", lambda wait_s: looks.append(wait_s) or next(waits))
    monkeypatch.setattr(lines, "beat", looks.append)
    lines._keep_beating()
    assert looks[::2] == [BEAT_S] * 3
    assert BEAT_S + SILENCE_S < 60


def test_lost_terminal_does_not_end_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress that nobody can read is dropped."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with ProgressLines("gate") as lines:
        lines("timing")


def test_quiet_command_writes_no_progress(command: Command, gated: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`--quiet` leaves standard error empty; without it, as in a script, files are named before they run."""
    path = command.folder / "my model.onnx"
    path.write_bytes(b"no graph")
    baseline, test = gated / "my baseline", gated / "my test.npz"
    quiet = command("gate", "--quiet", "--onnx", path.name, "--baseline", str(baseline), "--test", str(test))
    assert (quiet.stderr, quiet.returncode) == ("", 13)
    dlmi_bench.gate(baseline, onnx=[path], test=test)
    assert capfd.readouterr().err == f"gate: running {path} on 400 test examples\n"
