"""What the runner makes of steps that fail in part."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from dlmi_bench.errors import BenchError
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_versions
from dlmi_bench.records import Cell, CellKind, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.suite.display import Display
from dlmi_bench.suite.engines import Work
from dlmi_bench.suite.forecast import explain_change
from dlmi_bench.suite.measures import MEASURES, Run, list_judged
from dlmi_bench.suite.outcome import Outcome
from dlmi_bench.suite.plan import Step
from dlmi_bench.suite.runner import Runner
from dlmi_bench.suite.suites import Suite

CELL = Cell(kind="references", task="usps", model="-")
WORK = Work("references", (CELL,))
FIGURE = Figure(name="a_s", value=1, kind="measured", source="x")


def set_run(monkeypatch: pytest.MonkeyPatch, kind: CellKind, run: Run) -> None:
    """Let cells of that kind be made by `run`."""
    monkeypatch.setitem(MEASURES, kind, replace(MEASURES[kind], run=run))


class Quiet(Display):
    """Shows nothing."""


def test_step_that_failed_in_part_is_kept_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures are stored, it counts as failed, and only a later attempt without failures holds."""
    store = Store(tmp_path)
    running = Runner(Suite(tasks=("usps",), models=("softmax",)), store)
    running._data.described = {"usps": {"sha256": {}}}
    failures = ["b is broken\nits remedy"]
    set_run(monkeypatch, "references", lambda *_: [Record(cell=CELL, figures=(FIGURE,), failures=tuple(failures))])
    outcome = Outcome()
    said = running._run_works([WORK], 0, Quiet(), outcome)
    assert said == "failed in part: b is broken"
    assert (outcome.n_done, outcome.failures) == (0, {CELL.key: "b is broken\nits remedy"})
    attempt = store.current()[CELL.key]
    assert attempt.record is not None
    assert attempt.record.figures == (FIGURE,)
    assert running._find_reason(CELL, attempt) == "failed before"
    failures.clear()
    assert running._run_works([WORK], 0, Quiet(), outcome) == "done"
    assert outcome.n_done == 1
    assert running._find_reason(CELL, store.current()[CELL.key]) == ""


@pytest.mark.parametrize("error", [KeyError("no artifact 'x'"), BenchError("no artifact 'x'", "make one")])
def test_step_that_raises_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever it raises is its own failure, with a remedy; what nobody expected keeps the frames that led to it."""
    store = Store(tmp_path)
    running = Runner(Suite(tasks=("usps",), models=("softmax",), measures=("references",), n_seeds=1), store)
    train = Cell(kind="train", task="usps", model="softmax")
    running._steps = [Step("references", "usps", (CELL,), "a"), Step("train", "usps", (train,), "b")]

    def fall_over(*_: object) -> list[Record]:
        raise error

    set_run(monkeypatch, "references", fall_over)
    set_run(monkeypatch, "train", lambda *_: [Record(cell=train, figures=(FIGURE,))])
    outcome = running.run(Quiet())
    assert (outcome.n_done, list(outcome.failures)) == (1, [CELL.key])
    said = outcome.failures[CELL.key]
    assert "no artifact 'x'" in said.splitlines()[0]
    assert "\n  remedy: " in said
    assert ("in fall_over" in said) is (not isinstance(error, BenchError))
    assert [attempt.error for attempt in store.failures()] == [said]


def test_models_timed_side_by_side_are_timed_together_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two latencies is stale: both are measured, since times of two sessions are never compared."""
    store = Store(tmp_path)
    running = Runner(Suite(tasks=("usps",), models=("softmax", "cnn-4")), store)
    cells = tuple(Cell(kind="latency", task="usps", model=model) for model in ("softmax", "cnn-4"))
    counts = tuple(cell.model_copy(update={"kind": "counts"}) for cell in cells)
    store.add_done([(Record(cell=cell, figures=(FIGURE,)), cell.model) for cell in (*cells, *counts)])
    monkeypatch.setattr(Runner, "_fingerprint", lambda _, cell, suite, **__: "cnn-4")
    stored = store.current()
    assert running._list_stale(Step("latency", "usps", cells, "l"), stored).keys() == set(cells)
    assert running._list_stale(Step("counts", "usps", counts, "c"), stored).keys() == {counts[0]}
    monkeypatch.setattr(Runner, "_fingerprint", lambda _, cell, suite, **__: cell.model)
    assert running._list_stale(Step("latency", "usps", cells, "l"), stored) == {}


def test_training_on_other_data_than_were_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that draws its data anew in each process: the training is not kept, and the reason is said."""
    running = Runner(Suite(tasks=("usps",), models=("softmax",)), Store(tmp_path))
    running._data.described = {"usps": {"sha256": {"images": "a"}}}
    cell = Cell(kind="train", task="usps", model="softmax")
    for sha256, expected in (("a", 0), ("b", 1)):
        record = Record(cell=cell, figures=(FIGURE,), provenance={"data": {"sha256": {"images": sha256}}})
        set_run(monkeypatch, "train", lambda *_, record=record: [record])  # type: ignore[misc]
        outcome = Outcome()
        running._run_works([Work("train", (cell,))], 0, Quiet(), outcome)
        assert len(outcome.failures) == expected
    assert "other data in each process" in outcome.failures[cell.key]


@pytest.mark.parametrize(
    ("fresh", "has_same_data", "expected"),
    [
        ({"latency"}, True, ""),
        ({"latency"}, False, "measured on another machine"),
        ((), True, "measured on another machine"),
        ({"train"}, True, "asked for by --fresh"),
    ],
)
def test_outdated_training_is_used_where_other_kinds_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: set[CellKind], has_same_data: bool, expected: str
) -> None:
    """The file of a training by other code is measured again; with other data, or in a plain run, it is trained."""
    store = Store(tmp_path)
    running = Runner(Suite(tasks=("usps",), models=("softmax",)), store, fresh=fresh)
    running._data.described = {"usps": {"sha256": "a" if has_same_data else "b"}}
    cell = Cell(kind="train", task="usps", model="softmax", seed_index=1)
    details = {"judged": list_judged(cell, running._suite)}
    store.add_done([(Record(cell=cell, figures=(FIGURE,), provenance={"data": {"sha256": "a"}}, details=details), "f")])
    monkeypatch.setattr(Runner, "_fingerprint", lambda *_, **__: "g")
    assert running._find_reason(cell, store.current()[cell.key]) == expected
    assert (cell in running._outdated) is (not expected)


def make_timed(model: str, took_s: float | None, **provenance: JsonValue) -> Record:
    """Energy of a model that took so long, on this machine and with the settings of a plain suite."""
    here: dict[str, JsonValue] = {"machine_id": compute_machine_id(), "suite": Suite().model_dump(mode="json")}
    cell = Cell(kind="energy", task="usps", model=model)
    return Record(cell=cell, figures=(FIGURE,), provenance=here | {"took_s": took_s} | provenance)


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ({}, "its code, its data or its trained file has changed"),
        ({"machine_id": "x"}, "measured on another machine"),
        ({"versions": describe_versions() | {"torch": "1.0"}}, f"changed: torch 1.0 -> {describe_versions()['torch']}"),
        ({"suite": {"energy_window_s": 9.0, "n_processes": 5}}, "changed: energy_window_s 9.0 -> 3.0"),
    ],
)
def test_change_is_named_as_far_as_the_record_tells(provenance: dict[str, JsonValue], expected: str) -> None:
    """Machine, versions and settings; the rest is in a hash."""
    here: dict[str, JsonValue] = {"versions": {**describe_versions()}}
    assert explain_change(make_timed("a", 1.0, **here | provenance), Suite()) == expected
