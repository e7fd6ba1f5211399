"""The self-test itself, on few sessions: its figures, its exit code, and that it sees an instrument that lies."""

import json
import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import fmean, median
from types import ModuleType

import numpy as np
import pytest

from dlmi_bench.instruments.clock import Block, Clock
from dlmi_bench.jobs import parity
from dlmi_bench.selftest import __main__ as program
from dlmi_bench.selftest import bias, classes, detection, metrics
from dlmi_bench.selftest.coverage import METHODS, Method, check_coverage
from dlmi_bench.selftest.fakes import FakeClock
from dlmi_bench.selftest.markdown import format_page
from dlmi_bench.selftest.peers import Comparison, compute_mean
from dlmi_bench.selftest.rows import Row, make_bias, make_share
from dlmi_bench.selftest.spins import TAIL_SHARE, compute_median, draw_durations
from dlmi_bench.selftest.worlds import SETTINGS
from dlmi_bench.stats import percentiles
from dlmi_bench.stats.estimates import estimate_difference, estimate_mean
from dlmi_bench.stats.intervals import Survival, compute_t_interval
from dlmi_reports.claims import ratios
from dlmi_reports.results import answers
from dlmi_reports.tables import differences


def test_rows_by_hand() -> None:
    """9 of 10 has Clopper-Pearson [55.5, 99.7] %; the median of readings at +1, +2, +3 % is +2 %, without bounds."""
    share = make_share("detection", "x", [True] * 9 + [False], lowest=0.8)
    assert (share.value, share.n, share.verdict) == (0.9, 10, "met")
    assert (share.lo, share.hi) == pytest.approx((0.555, 0.9975), abs=1e-3)
    row = make_bias("y", [10.1, 10.2, 10.3], 10.0, most=0.01)
    assert row.value == pytest.approx(0.02)
    assert (row.lo, row.hi, row.verdict) == (None, None, "MISSED")


def test_bounds_decide_what_is_shown() -> None:
    """Of twelve readings the third and the tenth bound the median: shown inside the target, only met beyond it."""
    read = [10.0 + 0.01 * i for i in range(12)]
    row = make_bias("x", read, 10.0, most=0.02)
    assert (row.lo, row.hi) == pytest.approx((0.002, 0.009))
    assert [make_bias("x", read, 10.0, most=most).verdict for most in (0.009, 0.0089, 0.005)] == [
        "shown",
        "met",
        "MISSED",
    ]


def test_planted_distribution() -> None:
    """Half of the planned durations lie below the stated median, one in a hundred beyond four times it; their mean."""
    drawn = list(draw_durations(1e-3, 7))
    assert sum(d < compute_median(1e-3) for d in drawn) / len(drawn) == pytest.approx(0.5, abs=0.01)
    assert fmean(drawn) == pytest.approx(compute_mean(1e-3), rel=0.005)
    assert sum(d > 4e-3 for d in drawn) / len(drawn) == pytest.approx(TAIL_SHARE, abs=0.002)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name.partition(":")[0])
def test_every_interval_is_simulated(method: Method) -> None:
    """Of 200 sessions, the same every time, each method holds 91 to 99 %, or more where it promises 95 % at least."""
    (row,) = check_coverage(200, (method,))
    assert row.lowest - 0.02 <= row.value <= row.highest + 0.02


def test_every_interval_of_answers_is_simulated() -> None:
    """Over all settings, 30 worlds each, every figure's interval holds the truth in at least 92 %."""
    held: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for row in metrics.check_metrics(30):
        held[row.subject.partition(",")[0]].append((row.value * row.n, row.n))
        assert row.lowest == metrics.LOWEST
        assert (row.highest == 1) == bool(row.remark)
    assert len(held) == 17
    shares = {name: sum(k for k, _ in rows) / sum(n for _, n in rows) for name, rows in held.items()}
    assert min(shares.values()) >= 0.92, shares


def test_every_difference_of_areas_is_simulated() -> None:
    """Over all settings, 40 worlds each, bounds of a difference hold the truth in at least 92 %."""
    rows = list(metrics.check_differences(40))
    assert len(rows) == 16
    for name in ("one training each", "5 seeds"):
        assert np.mean([row.value for row in rows if name in row.subject]) >= 0.92


def test_every_interval_of_three_classes_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two settings, 60 worlds each, every figure's interval holds the truth in at least 90 %."""
    monkeypatch.setattr(classes, "N_TRUTH", 30_000)
    classes.compute_truths.cache_clear()
    rows = list(classes.check_classes(60, SETTINGS[:2]))
    classes.compute_truths.cache_clear()
    assert len(rows) == 12
    for name in {row.subject.partition(",")[0] for row in rows}:
        assert np.mean([row.value for row in rows if row.subject.startswith(f"{name},")]) >= 0.9, name


def test_bias_of_answers() -> None:
    """Calibrated probabilities have an error of less than .01, and DeLong's variance is that of all pairs."""
    rows = [*metrics.check_calibration_bias(200), *metrics.check_delong(3)]
    assert all(row.is_met for row in rows), rows


@pytest.mark.parametrize(("width", "share"), [(1.3, 0.806), (2.6, 0.991)])
def test_coverage_sees_a_wrong_width(width: float, share: float) -> None:
    """Bounds of 1.3 or 2.6 instead of 1.96 standard errors hold the truth in 81 or 99 %, and miss the target."""
    (row,) = check_coverage(400, (Method("wrong", lambda rng: _bound(rng.standard_normal(), width)),))
    assert row.value == pytest.approx(share, abs=0.03)
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
        detection.check_tolerance(30),
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
    row = next(detection.check_tolerance(60))
    assert not row.is_met


@pytest.mark.parametrize(
    "fill",
    [
        lambda times, reached: [t if hit else math.inf for t, hit in zip(times, reached, strict=True)],
        lambda times, reached: [t for t, hit in zip(times, reached, strict=True) if hit],
        lambda times, _: times,
    ],
    ids=["infinite", "left out", "taken for events"],
)
def test_bias_sees_censoring_that_is_not_accounted_for(
    monkeypatch: pytest.MonkeyPatch, fill: Callable[[list[float], list[bool]], list[float]]
) -> None:
    """The plain median, however it takes the times of runs that never got there, misses the target of 1 %."""

    def take(times: list[float], reached: list[bool]) -> Survival:
        return Survival((), (), median(fill(times, reached)))

    monkeypatch.setattr(detection, "compute_kaplan_meier", take)
    assert not next(detection.check_time_to_target(200)).is_met


@pytest.mark.slow
def test_backend_that_lies_is_found_and_one_that_does_not_is_not() -> None:
    """Registered, judged and timed in a worker: off by 1e-2 it is INVALID and refused, else neither."""
    rows = list(detection.check_backends(1))
    assert [row.value for row in rows] == [1.0, 1.0, 0.0, 0.0]
    assert all(row.is_met for row in rows)


@pytest.mark.slow
def test_leaks_in_fresh_processes() -> None:
    """What calls keep shows in the peak of a real process, what they give back does not."""
    rows = list(detection.check_leaks(1))
    assert [row.value for row in rows] == [1.0, 1.0]


@pytest.mark.slow
def test_spins_of_this_machine_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process reads spins of 20 us within a tenth and a factor of ten; four rows, one process."""
    monkeypatch.setattr(bias, "DURATIONS_S", {"20 us": 20e-6})
    rows = list(bias.check_real(1))
    assert -0.1 < rows[0].value < 9
    assert {row.n for row in rows[:2]} == {1}
    assert len(rows) == 5  # the spin of 2 us has one


def test_coverage_sees_a_wrong_order_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound at a level of 80 % is told from one of 95 %."""
    monkeypatch.setattr(percentiles.compute_percentile, "__defaults__", (0.8,))
    method = next(m for m in METHODS if "p90" in m.name)
    (row,) = check_coverage(400, (method,))
    assert not row.is_met


@pytest.mark.parametrize(
    ("name", "module", "function", "wrong"),
    [
        ("their medians", differences, "compute_t_interval", lambda logs, _: compute_t_interval(logs, 0.1)),
        ("claimed", ratios, "estimate_mean", lambda logs, what: estimate_mean(2 * logs, what)),
        ("arms", answers, "estimate_difference", lambda x, y, **_: estimate_difference(x, y, is_paired=False)),
        ("Bonferroni", differences, "ALPHA", 6 * differences.ALPHA),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_coverage_sees_a_report_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, name: str, module: ModuleType, function: str, wrong: object
) -> None:
    """Simulations go the way of reports: what these do wrong with processes, seeds or pairs misses the target."""
    monkeypatch.setattr(module, function, wrong)
    (row,) = check_coverage(200, tuple(method for method in METHODS if name in method.name))
    assert not row.is_met


def run_part(monkeypatch: pytest.MonkeyPatch, rows: Iterable[Row], *arguments: str) -> int:
    """Exit code of the program where these rows are all that it finds."""
    monkeypatch.setattr(program, "PARTS", {"bias": (lambda: iter(rows),)})
    monkeypatch.setattr(sys, "argv", ["selftest", "--part", "bias", *arguments])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_missed_target_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A figure that misses its target is marked, named, and makes the program exit with 1; one that is met does not."""
    good, bad = make_bias("good", [1.0], 1.0, most=0.01), make_bias("bad", [1.1], 1.0, most=0.01)
    assert run_part(monkeypatch, [good, bad], "--json") == 1
    said = capsys.readouterr()
    assert [row["verdict"] for row in json.loads(said.out)["rows"]] == ["met", "MISSED"]
    assert "missed: bad: 10.00 %" in said.err
    assert run_part(monkeypatch, [good]) == 0


def test_table_and_file_side_by_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Figures are whole on a terminal of 80 columns; the file beside the table has them, the machine and the commit."""
    monkeypatch.setenv("COLUMNS", "80")
    row = make_share(
        "coverage", "an interval with a name that is longer than a line", [True] * 950 + [False] * 50, lowest=0.93
    )
    assert run_part(monkeypatch, [row], "--out", str(tmp_path / "new" / "found.json")) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "95.00  93.46 to 96.27  1000  93 to 100  shown" in said
    found = json.loads((tmp_path / "new" / "found.json").read_text())
    assert found["rows"][0]["n"] == 1000
    assert found.keys() == {"rows", "peers", "date", "machine", "machine_id", "versions", "commit"}


ORIGIN = {
    "date": "2026-11-28",
    "machine": {"cpu": "Abacus 1", "n_cpus_allowed": 2, "system": "Linux 6.1"},
    "machine_id": "0123456789ab",
    "commit": "",
    "versions": {"python": "3.12.1", "numpy": "2.1.0"},
}
PAGE = r"""# Self-test: last run

Written by `nox -s selftest`. [METHOD.md](../METHOD.md) explains what is measured and how to read the rows.

- Date: 2026-11-28
- Machine: Abacus 1, 2 CPUs, Linux 6.1 (0123456789ab)
- Commit: none, not a checkout
- Versions: python 3.12.1, numpy 2.1.0

## Bias, coverage, detection and studies

| part | what | figure % | 95 % bounds | n | target % | |
| --- | --- | --- | --- | --- | --- | --- |
| bias | energy of a spin | 0.40 | [0.34, 0.59] | 12 | -0.01 to 0.01 | MISSED |
| bias | few readings | -0.20 | - | 3 | -1 to 1 | met |
| coverage | an interval (at least 95 %) | 97.7 | [96.6, 98.5] | 1000 | 93 to 100 | shown |

## Other tools on the same spins

### timer 1.2

| spin | centre | error | uncertainty it states | planted tail | n |
| --- | --- | --- | --- | --- | --- |
| 1 ms | mean 1.0780 x | +7.80 % of the median | sd 2 % | largest 5.1 x | 100 |
| the rest | not available: no \| here | | | | |
"""


def test_page_by_hand() -> None:
    """Biases have two digits and shares one, a missing bound is a dash, a bar in a cell is escaped."""
    rows = [
        Row("bias", "energy of a spin", 0.004, 0.0034, 0.0059, 12, -1e-4, 1e-4),
        Row("bias", "few readings", -0.002, None, None, 3, -0.01, 0.01),
        Row("coverage", "an interval", 0.977, 0.966, 0.985, 1000, 0.93, 1.0, "at least 95 %"),
    ]
    answers = [
        Comparison("timer", "1.2", "1 ms", "mean 1.0780 x", "+7.80 % of the median", "sd 2 %", "largest 5.1 x", "100"),
        Comparison("timer", "1.2", "the rest", "not available: no | here"),
    ]
    assert format_page(rows, answers, ORIGIN) == PAGE


def test_page_beside_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--markdown` writes every row, and where and when it was found; a part without tools has no section of them."""
    monkeypatch.setattr(program, "describe_origin", lambda: ORIGIN)
    row = make_share("coverage", "an interval", [True] * 950 + [False] * 50, lowest=0.93)
    path = tmp_path / "new" / "found.md"
    assert run_part(monkeypatch, [row], "--markdown", str(path)) == 0
    head, _, table = path.read_text().partition("| --- | --- | --- | --- | --- | --- | --- |\n")
    assert head == PAGE.partition("| --- |")[0]
    assert table == "| coverage | an interval | 95.0 | [93.5, 96.3] | 1000 | 93 to 100 | shown |\n"


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Ctrl-C ends it with 130 and one line; no file is half written."""

    def stop() -> Iterator[Row]:
        yield make_bias("good", [1.0], 1.0, most=0.01)
        raise KeyboardInterrupt

    assert run_part(monkeypatch, stop(), "--out", str(tmp_path / "found.json")) == 130
    assert capsys.readouterr().err == "interrupted: nothing was written\n"
    assert not (tmp_path / "found.json").exists()


def run_selftest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlmi_bench.selftest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_program_prints_json_and_every_interval_meets_its_target() -> None:
    """Standard output is JSON alone; of 1 000 sessions no method misses, and the exit code is 0."""
    done = run_selftest("--part", "coverage", "--json")
    found = json.loads(done.stdout)
    assert len(found["rows"]) == len(METHODS)
    assert [row["subject"] for row in found["rows"] if row["verdict"] == "MISSED"] == []
    assert done.returncode == 0
