"""Tuning in reports: which budget a model has, the table, and what claims about accuracy say of unequal ones."""

from pathlib import Path
from typing import Any

import pytest

from dlmi_bench.records import Cell, Figure, Record, unavailable
from dlmi_bench.stats.tuning import Tuning
from dlmi_bench.store import Store
from dlmi_bench.suite.data import TaskData
from dlmi_reports import write_report
from dlmi_reports.formats.registry import FORMATS
from dlmi_reports.results.load import load_results
from dlmi_reports.structure import Table
from dlmi_reports.tables.overview import make_training_table
from dlmi_reports.tables.tuning import make_tuning_tables
from dlmi_tasks import get_task
from dlmi_tasks.ledger import Ledger
from dlmi_tasks.usps import task as usps
from report_stores import keep_answers, measured_records
from test_claims_own import judge_one
from test_report_own import own_record

RECIPE: dict[str, Any] = {"n_epochs": 3, "peak_lr": 0.01}
COUNTED = Tuning(
    n_trials=6,
    n_failed=1,
    tuning_s=30.0,
    rank=2,
    used_validation_accuracy=0.9,
    best_validation_accuracy=0.95,
    best_tried={"peak_lr": 0.02},
    note="Earlier ones were not counted.",
).model_dump(mode="json")


def trained(folder: Path, model: str, tuning: Any = None, recipe: Any = RECIPE) -> list[Record]:
    """Two trainings with answers, 10 and 12 of 100 wrong."""
    records = [own_record(model, i, 0.9, tuning=tuning, recipe=recipe) for i in range(2)]
    return [keep_answers(folder, r, range(10 + 2 * i)) for i, r in enumerate(records)]


def trial(model: str, index: int, accuracy: float | None, base: Any = RECIPE) -> Record:
    """A trial of two seconds; the first is of the recipe in use."""
    figure = unavailable("validation_accuracy", "diverged")
    if accuracy is not None:
        figure = Figure(name="validation_accuracy", value=accuracy, kind="measured", source="x", n=100)
    spent = Figure(name="tuning_s", value=2.0, kind="measured", source="x")
    provenance: dict[str, Any] = {"tried": {"peak_lr": 0.01 * 2**index} if index else {}, "base": base}
    cell = Cell(kind="tuning", task="toy", model=model, seed_index=index)
    return Record(cell=cell, figures=(figure, spent), provenance=provenance)


def fill(folder: Path, *records: Record) -> Store:
    store = Store(folder)
    store.add_done([(record, "f") for record in records])
    return store


def make_table(store: Store) -> Table:
    (table,) = make_tuning_tables(load_results(store).tasks["toy"])
    return table


def test_table_shows_the_ledger_that_a_training_names(tmp_path: Path) -> None:
    """Six trials, 30 s, second of them, and the ledger's own note under the table; the other was not counted."""
    store = fill(tmp_path, *trained(tmp_path, "m", COUNTED), *trained(tmp_path, "x"))
    table = make_table(store)
    assert table.header == ["model", "trials", "time", "in use, validation %", "best of k %", "note"]
    assert table.rows[0] == ["m", "6", "30.0 s", "90.00", "95.00", "rank 2; best: peak_lr 0.02; 1 failed"]
    assert table.rows[1][:2] == ["x", "0"]
    assert table.rows[1][-1] == "not counted"
    assert table.notes == [
        "Earlier ones were not counted.",
        "Unequal budgets: claims that compare these models say so.",
    ]


def test_search_stands_beside_the_training_with_its_energy(tmp_path: Path) -> None:
    """30 s of trials at the power of a training, 8 J in 1.5 s and 0.5 s of evaluation; nothing by two meters."""
    cpu = {"component": "cpu", "idle_subtracted": False}
    added = [
        Figure(name="training_energy_j", value=8.0, kind="modelled", source="a", conditions=cpu),
        Figure(name="training_s", value=1.5, kind="measured", source="x"),
        Figure(name="evaluation_s", value=0.5, kind="measured", source="x"),
    ]
    names = {figure.name for figure in added}
    one, two = trained(tmp_path, "m", COUNTED)
    one, two = (
        r.model_copy(update={"figures": (*(f for f in r.figures if f.name not in names), *added)}) for r in (one, two)
    )
    other = two.figures[-3].model_copy(update={"source": "b"})
    mixed = two.model_copy(update={"figures": (*two.figures[:-3], other, *two.figures[-2:])})
    said = []
    for folder, second in (("alike", two), ("mixed", mixed)):
        table = make_training_table(load_results(fill(tmp_path / folder, one, second)).tasks["toy"])
        said.append(table.rows[0][table.header.index("search of recipe")])
    assert said == ["30.0 s, 120 J (modelled), 6 trials", "30.0 s, 6 trials"]


def test_trials_of_the_store_take_precedence(tmp_path: Path) -> None:
    """Three trials of two seconds, of which the recipe in use is the best, in place of the ledger's six."""
    trials = [trial("m", i, accuracy) for i, accuracy in enumerate((0.8, 0.7, None))]
    table = make_table(fill(tmp_path, *trained(tmp_path, "m", COUNTED), *trials))
    assert table.rows == [["m", "3", "6.00 s", "80.00", "80.00", "best; 1 failed"]]
    assert table.notes == []


def test_trials_around_another_recipe_count_and_rank_nothing(tmp_path: Path) -> None:
    """They were paid for, but do not tell where the recipe in use stands."""
    trials = [trial("m", i, 0.8, base=RECIPE | {"n_epochs": 4}) for i in range(2)]
    (row,) = make_table(fill(tmp_path, *trained(tmp_path, "m"), *trials)).rows
    assert row == ["m", "2", "4.00 s", "not measured", "80.00", "the recipe in use was not among the trials"]


def test_trials_without_a_training_are_a_report_too(tmp_path: Path) -> None:
    """`tune` comes before `run`: every format is written, and the table is there."""
    store = fill(tmp_path / "out", trial("m", 0, 0.8), trial("m", 1, 0.9))
    written = write_report(store, tmp_path / "report", list(FORMATS))
    text = next(path for path in written if path.name == "details.md").read_text()
    assert "| 90.00 | rank 2; best: peak" in text


def test_no_table_where_nobody_counted(tmp_path: Path) -> None:
    """Results of earlier versions look as before."""
    assert make_tuning_tables(load_results(fill(tmp_path, *trained(tmp_path, "m"))).tasks["toy"]) == []


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((6, 2), ["unequal tuning: m 6 trials, x 2 trials"]),
        ((6, None), ["unequal tuning: m 6 trials, x not counted"]),
        ((None, None), ["tuning not counted for m, x"]),
        ((6, 6), []),
    ],
)
def test_claims_about_accuracy_say_unequal_tuning(
    tmp_path: Path, counts: tuple[int | None, int | None], said: list[str]
) -> None:
    """Whatever the verdict; of models with equal budgets there is nothing to say, and a count is no accuracy."""
    tuned = [n and COUNTED | {"n_trials": n} for n in counts]
    records = [r for name, tuning in zip("mx", tuned, strict=True) for r in trained(tmp_path, name, tuning)]
    store = fill(tmp_path, *records, *measured_records("m", 10, 1e-5), *measured_records("x", 20, 1e-5))
    judged = judge_one(store, 'kind = "non_inferior"\nagainst = ["x"]\nmargin = 0.02\n')
    assert [line for line in judged.evidence if "tuning" in line] == said
    for other in ('kind = "ordered"\nagainst = ["x"]\n', 'kind = "above"\nvalue = 0.5\n'):
        assert not [line for line in judge_one(store, other).evidence if "tuning" in line]


def test_fit_of_the_users_has_no_recipe_to_tune(tmp_path: Path) -> None:
    """The row says that, not that nobody counted."""
    own = trained(tmp_path, "x", recipe={"fit": "study:fit"})
    rows = make_table(fill(tmp_path, *trained(tmp_path, "m", COUNTED), *own)).rows
    assert [row[-1] for row in rows if row[0] == "x"] == ["not available: fit takes no recipe"]


def test_run_notes_the_shipped_budget_of_each_training() -> None:
    """A training has the ledger of digits where data and recipe are the same; None after a change of the recipe."""
    ledger = Ledger.model_validate_json(Path(usps.__file__).with_name("tuning.json").read_bytes())
    data = TaskData(["usps"])
    data._audits["usps"] = {}
    recipe: dict[str, Any] = get_task("usps").recipe("cnn-4").describe()
    found = []
    for used in (recipe, recipe | {"n_epochs": 99}):
        provenance: dict[str, Any] = {"data": {"sha256": ledger.sha256}, "recipe": used}
        record = Record(cell=Cell(kind="train", task="usps", model="cnn-4"), figures=(), provenance=provenance)
        found.append(data.describe_audit(record)["tuning"])
    row = next(row for row in ledger.models if row.model == "cnn-4")
    told: Any = found[0]
    assert told["n_trials"] == len(row.trials)
    assert told["tuning_s"] == pytest.approx(sum(trial.tuning_s for trial in row.trials))
    assert told["used_validation_accuracy"] == row.trials[0].validation_accuracy
    assert found[1] is None
