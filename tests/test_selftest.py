"""The self-test itself, on few sessions: its figures, its exit code, and that it sees an instrument that lies."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import parity, percentiles
from bench.clock import Block, Clock
from bench.selftest import __main__ as program
from bench.selftest import bias, detection
from bench.selftest.coverage import METHODS, Method, check_coverage
from bench.selftest.peers import compare_peers
from bench.selftest.rows import Row, make_bias, make_share
from bench.selftest.spins import TAIL_SHARE, compute_median, draw_durations
from bench.selftest.worlds import FakeClock


def test_rows_by_hand() -> None:
    """9 of 10 has Clopper-Pearson [55.5, 99.7] %; the median of readings at +1, +2, +3 % is +2 %, without bounds."""
    share = make_share("detection", "x", [True] * 9 + [False], lowest=0.8)
    assert (share.value, share.n, share.is_met) == (0.9, 10, True)
    assert (share.lo, share.hi) == pytest.approx((0.555, 0.9975), abs=1e-3)
    row = make_bias("y", [10.1, 10.2, 10.3], 10.0, most=0.01)
    assert row.value == pytest.approx(0.02)
    assert (row.lo, row.hi, row.is_met) == (None, None, False)


def test_planted_distribution() -> None:
    """Half of the planned durations lie below the stated median, one in a hundred beyond four times it."""
    drawn = list(draw_durations(1e-3, 7))
    assert sum(d < compute_median(1e-3) for d in drawn) / len(drawn) == pytest.approx(0.5, abs=0.01)
    assert sum(d > 4e-3 for d in drawn) / len(drawn) == pytest.approx(TAIL_SHARE, abs=0.002)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name.partition(":")[0])
def test_every_interval_is_simulated(method: Method) -> None:
    """Each method runs and, on so few sessions, lies where Clopper and Pearson leave 93 % possible."""
    (row,) = check_coverage(40, (method,))
    assert row.hi is not None
    assert row.hi >= 0.93


def test_coverage_sees_an_interval_that_is_too_narrow() -> None:
    """Bounds of 1.3 instead of 1.96 standard errors hold the truth in 81 %, and miss the target."""
    (row,) = check_coverage(400, (Method("narrow", lambda rng: _bound(rng.standard_normal(), 1.3)),))
    assert row.value == pytest.approx(0.806, abs=0.08)
    assert not row.is_met


def _bound(value: float, width: float) -> tuple[float, float, float]:
    return value - width, value + width, 0.0


def test_simulated_spins_are_read_without_bias() -> None:
    """On a clock that is told, latency and median of single calls are off by less than 1 %, the tail is found."""
    rows = list(bias.check_simulated(2))
    assert len(rows) == 11
    assert all(row.is_met for row in rows), rows
    found = [row for row in rows if "planted" in row.subject]
    assert [row.value for row in found] == [1.0, 1.0]  # of so few calls of 50 ms none is planted


def test_bias_sees_a_clock_that_runs_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is timed 2 % too long misses the target of 1 %."""
    honest = Clock.time

    def lie(self: Clock, call: Callable[[], object], n_calls: int) -> Block:
        block = honest(self, call, n_calls)
        return Block(round(1.02 * block.wall_ns), block.cpu_ns)

    monkeypatch.setattr(FakeClock, "time", lie)
    assert not next(bias.check_simulated(2)).is_met


def test_detection_of_what_was_planted() -> None:
    """Counts, parity, energy and curves find all of it and nothing else."""
    checks: list[Iterator[Row]] = [
        detection.check_macs(2),
        detection.check_parity(30),
        detection.check_energy(8),
        detection.check_curves(6),
        detection.check_time_to_target(200),
    ]
    rows = [row for check in checks for row in check]
    assert len(rows) == 9
    assert all(row.is_met for row in rows), rows


def test_detection_sees_a_lax_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tolerance of a thousandth of the largest score lets 1e-2 through where scores reach 30."""
    monkeypatch.setattr(parity, "SCORE_TOLERANCE", 1e-3)
    row = next(detection.check_parity(60))
    assert not row.is_met


def test_coverage_sees_a_wrong_order_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound at a level of 80 % is told from one of 95 %."""
    monkeypatch.setattr(percentiles.compute_percentile, "__defaults__", (0.8,))
    method = next(m for m in METHODS if "p90" in m.name)
    (row,) = check_coverage(400, (method,))
    assert not row.is_met


def test_missed_target_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A figure that misses its target is marked, named, and makes the program exit with 1."""
    rows = [make_bias("good", [1.0], 1.0, most=0.01), make_bias("bad", [1.1], 1.0, most=0.01)]
    monkeypatch.setattr(program, "PARTS", {"bias": (lambda: iter(rows),)})
    monkeypatch.setattr(sys, "argv", ["selftest", "--part", "bias", "--json"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert [row["is_met"] for row in json.loads(said.out)["rows"]] == [True, False]
    assert "missed: bad: 10.00%" in said.err


@pytest.mark.parametrize("python", [None, Path("no-such-python"), Path(sys.executable)])
def test_tool_that_is_not_there_says_why(python: Path | None) -> None:
    """Without an interpreter, with one that does not exist, and with one that lacks the tool."""
    (row,) = compare_peers(python, ["pyperf"])
    assert row.centre.startswith("not available: ")
    assert row.centre != "not available: "


def run_selftest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.selftest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_program_prints_json_and_fails_where_a_target_is_missed() -> None:
    """Standard output is JSON alone; the exit code is 0 where all targets are met."""
    done = run_selftest("--part", "coverage", "--json")
    found = json.loads(done.stdout)
    assert len(found["rows"]) == len(METHODS)
    assert done.returncode == (0 if all(row["is_met"] for row in found["rows"]) else 1)
