"""How long a run will take: what the store knows, what the run measures, and what stands in where neither does."""

import io

import pytest
from pydantic import JsonValue
from rich.console import Console

from dlmi_bench.instruments.host import kinds
from dlmi_bench.instruments.host.provenance import compute_machine_id
from dlmi_bench.records import Cell, CellKind, Figure, Record
from dlmi_bench.suite import display as displays
from dlmi_bench.suite import pace as paces
from dlmi_bench.suite.display import Left, RunDisplay
from dlmi_bench.suite.forecast import Forecast, PlannedStep, format_forecast
from dlmi_bench.suite.pace import Pace, compute_typical_s
from dlmi_bench.suite.plan import Step, make_batch
from dlmi_bench.suite.suites import SUITES, Suite
from dlmi_bench.units import format_left
from report_stores import FAST, MACHINES, SLOW

ENERGY_S = 1 + 3.0  # typical, with the window of a plain suite


def make_cell(model: str, kind: CellKind = "energy", index: int = 0) -> Cell:
    return Cell(kind=kind, task="usps", model=model, seed_index=index)


def make_step(*cells: Cell) -> Step:
    return Step(cells[0].kind, "usps", cells, "a step")


def make_record(cell: Cell, took_s: float | None, *, is_timed: bool = True, **provenance: JsonValue) -> Record:
    """A cell that took so long, on this machine and with the settings of a plain suite."""
    here: dict[str, JsonValue] = {"machine_id": compute_machine_id(), "suite": Suite().model_dump(mode="json")}
    name = "a_s" if is_timed else "shared_training_s"
    figure = Figure(name=name, value=1, kind="measured", source="x")
    return Record(cell=cell, figures=(figure,), provenance=here | {"took_s": took_s} | provenance)


A, B = make_cell("a"), make_cell("b")


@pytest.mark.parametrize(
    ("stored", "expected_s"),
    [
        ([make_record(A, 2.0), make_record(A, 4.0), make_record(B, 5.0)], 3 + 5),
        ([make_record(A, 2.0)], 2 + ENERGY_S),
        ([make_record(A, 2.0), make_record(B, None)], 2 + ENERGY_S),
        ([make_record(A, 2.0), make_record(B, 5.0, machine_id="x")], 2 + ENERGY_S),
        ([make_record(A, 2.0), make_record(B, 5.0, suite={"energy_window_s": 9.0, "n_processes": 5})], 2 + ENERGY_S),
    ],
)
def test_time_is_that_of_like_cells(stored: list[Record], expected_s: float) -> None:
    """The mean of each model, added up; a typical one where a model was not timed here, with these settings."""
    pace, step = Pace(Suite(), stored), make_step(A, B)
    assert pace.estimate(step, step.cells) == expected_s
    assert pace.knows(B) is (expected_s == 8)


def test_time_of_an_equal_node_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine of this kind took 5 s; one of another kind took 500 s, which says nothing of the time left here."""
    monkeypatch.setattr(kinds, "describe_own_kind", lambda: FAST)
    node, other = (
        make_record(cell, took_s, **MACHINES[kind]) for cell, took_s, kind in ((A, 5.0, FAST), (B, 500.0, SLOW))
    )
    pace, step = Pace(Suite(), [node, other]), make_step(A, B)
    assert pace.estimate(step, step.cells) == 5 + ENERGY_S
    assert (pace.knows(A), pace.knows(B)) == (True, False)


def test_typical_times_follow_the_pace_of_the_run() -> None:
    """One that took three times the typical time: so will its like, nearly; another kind as all kinds so far."""

    def follow(typical_s: float, measured_s: float) -> float:
        return (measured_s + paces.TRUSTED_S) / (typical_s + paces.TRUSTED_S)

    pace = Pace(Suite(), ())
    pace.learn(A, 3 * ENERGY_S + paces.START_S)
    assert pace.estimate(make_step(B), [B]) == pytest.approx(follow(ENERGY_S, 3 * ENERGY_S) * ENERGY_S)
    counts = make_cell("b", "counts")
    assert pace.estimate(make_step(counts), [counts]) == pytest.approx(follow(ENERGY_S, 3 * ENERGY_S) * paces.COUNT_S)
    pace.learn(make_cell("a", "counts"), 2 * paces.COUNT_S)
    own = follow(paces.COUNT_S, 2 * paces.COUNT_S)
    assert pace.estimate(make_step(counts), [counts]) == pytest.approx(own * paces.COUNT_S)
    assert pace.estimate(make_step(A), [A]) == 3 * ENERGY_S


def test_one_slow_step_does_not_make_a_run_ten_times_as_long() -> None:
    """A first step of a second that took twelve: what comes takes less than twice its typical time."""
    pace = Pace(Suite(), ())
    pace.learn(make_cell("a", "counts"), 12 * paces.COUNT_S)
    assert pace.estimate(make_step(B), [B]) < 2 * ENERGY_S


def test_trainings_side_by_side_share_the_cpus() -> None:
    """Six of 4 s on three CPUs; two of them take as long as one; timed ones stand in where none ran side by side."""
    cells = [make_cell("a", "train", index) for index in range(6)]
    pace = Pace(Suite(), [make_record(cells[0], 4.0)])
    batch = make_batch(cells)
    assert pace.estimate(batch, cells, 3) == 8
    assert pace.estimate(batch, cells[:2], 3) == 4
    pace.learn(cells[0], 10.0 + paces.START_S, is_timed=False)
    assert pace.estimate(batch, cells, 3) == 20
    assert pace.estimate(make_step(cells[0]), cells[:1]) == 4


@pytest.mark.parametrize("name", SUITES)
def test_every_kind_has_a_typical_time(name: str) -> None:
    """Above zero for all kinds; large networks take hours to train and seconds to count."""
    kinds: tuple[CellKind, ...] = ("references", "train", "counts", "memory", "energy", "latency")
    for model in ("vgg16-c", "vgg16-full"):
        assert all(compute_typical_s(make_cell(model, kind), SUITES[name], 3) > 0 for kind in kinds)
    assert compute_typical_s(make_cell("vgg16-full", "train"), SUITES[name], 1) == paces.LARGE_TRAINING_S


@pytest.mark.parametrize(
    ("elapsed_s", "share", "expected_s"),
    [(0, 0, 15), (4, 0, 11), (12, 0, 5), (4, 0.25, 17), (4, 0.01, 11)],
)
def test_what_is_left(elapsed_s: float, share: float, expected_s: float) -> None:
    """10 s of this step and 5 s later: less what has gone, never less than what comes later; a share tells better."""
    assert Left(10, 5).estimate(elapsed_s, share) == expected_s


def test_log_is_told_within_a_minute_and_then_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first step of 5 min speaks after 30 s and then every 3 min; at the end nothing is said."""
    now_s, file = [100.0], io.StringIO()
    monkeypatch.setattr(displays.time, "monotonic", lambda: now_s[0])
    steps = [make_step(A), make_step(B)]
    with RunDisplay(Console(file=file, force_terminal=False, force_jupyter=False, width=100)) as display:
        display.start_step(steps[0], 0, 2, Left(300, 60))
        for _ in range(30):
            now_s[0] += 10
            display.progress("epoch", 0.5)
        display.end_step(steps[0], "done")
        display.start_step(steps[1], 1, 2, Left(20, 0))
        display.end_step(steps[1], "done")
    assert file.getvalue().splitlines() == [
        "[1/2] about 6 min left",  # 360 s - 30 s, rounded
        "[1/2] about 2 min left",
        "[1/2] usps: a step: done (300.0 s)",
        "[2/2] usps: a step: done (0.0 s)",
    ]


def test_log_is_told_after_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: the steps after it are too quick for another line."""
    file, step = io.StringIO(), make_step(A)
    with RunDisplay(Console(file=file, force_terminal=False, force_jupyter=False, width=100)) as display:
        for index in range(3):
            display.start_step(step, index, 3, Left(100, 100 * (2 - index)))
            display.end_step(step, "kept")
    assert file.getvalue().splitlines() == ["[2/3] about 3 min left"]


def test_rough_times_are_marked() -> None:
    """In the step, and in the sum with the number of cells."""
    step = make_step(A, B)
    planned = [PlannedStep(step, {A: "not done yet"}, 100.0, 1), PlannedStep(step, {B: "failed before"}, 20.0)]
    assert format_forecast(Forecast(tuple(planned))).splitlines() == [
        "usps: a step: to do, not done yet (roughly 2 min)",
        "usps: a step: to do, failed before (about 20 s)",
        "2 cells to do, 2 kept; time: about 2 min, rough for 1 of them",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0, "1 s"), (90, "90 s"), (840, "14 min"), (9000, "2.5 h")])
def test_rough_duration(seconds: float, text: str) -> None:
    """In the unit that a reader would use."""
    assert format_left(seconds) == text
