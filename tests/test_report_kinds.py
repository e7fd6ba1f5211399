"""Two kinds of machine in one store: no cost is pooled over them, and no two costs of unlike ones are compared."""

import csv
import json
from pathlib import Path

import pytest

from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_reports import write_export, write_report
from dlmi_reports.formats.json import Report
from dlmi_reports.front.glance import make_joined_table, plot_costs
from dlmi_reports.page import make_page
from dlmi_reports.plots.curves import plot_curves
from dlmi_reports.plots.joined import draw_joined
from dlmi_reports.plots.singles import plot_singles
from dlmi_reports.results.load import Results, TaskResults, load_results
from dlmi_reports.results.machines import NOT_COMPARABLE
from dlmi_reports.structure import Table
from dlmi_reports.tables.changes import make_change_table
from dlmi_reports.tables.differences import make_relative_table
from dlmi_reports.tables.efficiency import make_efficiency_tables
from dlmi_reports.tables.energy import make_break_even_tables, make_source_table
from dlmi_reports.tables.fronts import make_front_tables
from dlmi_reports.tables.joined import format_joined, list_joined
from dlmi_reports.tables.latency import make_latency_tables
from dlmi_reports.tables.overview import make_inference_table, make_seed_table, make_training_table
from dlmi_reports.tables.tuning import make_tuning_tables
from report_stores import CPU, FAST, SLOW, measured_records, move, train_on

PEAK = Figure(name="peak_flop_hz", value=1e9, kind="measured", source="c", conditions={"threads": 1})


def make_trainings() -> list[Record]:
    """Three trainings on either machine: `small` takes half as long as `large` on one, five times on another."""
    return [
        train_on(kind, model, index + first, test, scale * (4 + index if model == "small" else large), time_s)
        for model, test in (("small", 0.8), ("large", 0.9))
        for kind, first, scale, large in ((FAST, 0, 1, 10), (SLOW, 3, 100, 1))
        for index, time_s in enumerate((1.0 * scale, 2.0 * scale, None))
    ]


def make_energy(model: str, energy_j: float, kind: str) -> Record:
    figure = Figure(name="inference_energy_j", value=energy_j, kind="measured", source="rapl", conditions=CPU,
                    samples=(energy_j, 1.1 * energy_j))  # fmt: skip
    return move(Record(cell=Cell(kind="energy", task="toy", model=model), figures=(figure,)), kind)


def make_latency(model: str, n: int, latency_s: float, kind: str) -> list[Record]:
    latency, counts = measured_records(model, n, latency_s, session=kind)
    peak = PEAK.model_copy(update={"value": 1e9 if kind == FAST else 1e7})
    return [move(latency.model_copy(update={"figures": (*latency.figures, peak)}), kind), move(counts, kind)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`small` and `large`, trained on both machines and timed on the fast one; two more were timed on the slow one."""
    store = Store(tmp_path_factory.mktemp("kinds"))
    records = [*make_trainings(), make_energy("small", 2.0, FAST), make_energy("large", 4.0, SLOW)]
    for model, n, latency_s, kind in (("small", 10, 2e-5, FAST), ("large", 90, 1e-5, FAST)):
        records += make_latency(model, n, latency_s, kind)
    for model, n, latency_s in (("far", 200, 1e-3), ("further", 300, 2e-3)):
        records += make_latency(model, n, latency_s, SLOW)
    store.add_done([(record, "f") for record in records])
    return store


@pytest.fixture(scope="module")
def results(store: Store) -> Results:
    return load_results(store)


@pytest.fixture(scope="module")
def task(results: Results) -> TaskResults:
    return results.tasks["toy"]


def read_column(table: Table, column: str) -> dict[tuple[str, str], str]:
    """Cells of a column by model and machine."""
    place = table.header.index(column)
    return {(row[0], row[table.header.index("machine")]): row[place] for row in table.rows}


def test_cost_of_training_is_that_of_one_machine(task: TaskResults) -> None:
    """Medians of 4, 5 and 6 s and a hundred times that, not 203 s of all; targets and joules too, epochs of all."""
    table = make_training_table(task)
    assert read_column(table, "training")["small", FAST] == "5.0 [4.0, 6.0] s"
    assert read_column(table, "training")["small", SLOW] == "8.3 [6.7, 10.0] min"
    assert read_column(table, "time to target")["small", FAST] == "2.00 s"  # of all: 100 s
    assert read_column(table, "time to target")["small", SLOW] == "3.33 min"
    assert read_column(table, "energy, gross")["small", FAST].startswith("10.0 J")  # of all: 505 J
    assert read_column(table, "energy, gross")["small", SLOW].startswith("1.00 kJ")
    assert len({*read_column(table, "epochs to target").values()} - {"not measured"}) == 1
    assert read_column(table, "training")["far", "not measured"] == "not measured"


def test_time_per_success_is_that_of_one_machine(task: TaskResults) -> None:
    """4 of 6 reached the target: 1.5 s + 1/2 x 6 s, and a hundred times that; 75.75 + 151.5 s of all."""
    (table,) = make_efficiency_tables(task)
    cells = read_column(table, "training time per success")
    assert cells["small", FAST].startswith("4.50 s [")
    assert cells["small", SLOW].startswith("7.50 min [")
    joules = read_column(table, "correct answers per joule")
    assert joules["large", FAST] == "not measured"
    assert joules["large", SLOW].startswith("100 [")  # (.9 - .5) of 1 000 answers by 4 J


def test_every_training_names_its_machine(task: TaskResults) -> None:
    """Three trainings of each model on either kind of machine."""
    table = make_seed_table(task)
    assert [row[-1] for row in table.rows] == [*[FAST] * 3, *[SLOW] * 3] * 2


def test_cost_of_inference_has_a_row_for_each_machine(task: TaskResults) -> None:
    """The large model was timed on one and metered on the other: neither row has both."""
    table = make_inference_table(task)
    latencies, energies = (read_column(table, name) for name in ("ONNX Runtime, batch 1", "energy, gross"))
    assert latencies["large", FAST].startswith("10.0 [")
    assert energies["large", FAST] == "not measured"
    assert latencies["large", SLOW] == "not measured"
    assert energies["large", SLOW].startswith("4.00 J")
    assert latencies["far", SLOW].startswith("1000 [") or latencies["far", SLOW].startswith("1.0")


def test_energy_by_source_names_the_training_of_each_machine(task: TaskResults) -> None:
    """8 J of the first training on the fast machine, 800 J of the fourth, which is the first on the slow one."""
    rows = {(row[0], row[1], row[2]): row[4] for row in make_source_table(task).rows}
    assert rows["small", FAST, "one training, run 1"] == "8.00 J"
    assert rows["small", SLOW, "one training, run 4"] == "800 J"
    assert rows["large", SLOW, "1 000 inferences"] == "4.00 J"


def test_break_even_adds_up_costs_of_one_machine(task: TaskResults) -> None:
    """5 s less to train, 10 us more a use: until 500 000. Of all trainings pooled, small would never be cheaper."""
    (table,) = make_break_even_tables(task)
    assert table.title.endswith(f", {FAST}")
    assert [row[:4] for row in table.rows] == [["small", "5.00 s", "20.0 us", "until 500 000 inferences (mixed)"]]


def test_break_even_without_a_machine_in_common(tmp_path: Path) -> None:
    """Trained on the slow machine and timed on the fast one: nothing is added up, and the table says why."""
    records = [train_on(SLOW, model, i, 0.9, 5.0, 1.0) for model in ("small", "large") for i in range(2)]
    records += [*make_latency("small", 10, 2e-5, FAST), *make_latency("large", 90, 1e-5, FAST)]
    store = Store(tmp_path)
    store.add_done([(record, "f") for record in records])
    (table,) = make_break_even_tables(load_results(store).tasks["toy"])
    assert table.rows == [["small", NOT_COMPARABLE], ["large", NOT_COMPARABLE]]


def test_fronts_are_of_one_machine(task: TaskResults) -> None:
    """The cheaper model on the fast machine is on its front, on the slow one it is dearer and less accurate."""
    (table,) = make_front_tables(task)
    shares = {(row[0], name): cell for row in table.rows for name, cell in zip(table.header[1:], row[1:], strict=True)}
    assert shares["small", f"training on {FAST}"] == "100 %"
    assert shares["small", f"training on {SLOW}"] in ("0 %", "1 %", "2 %", "3 %")
    assert shares["small", f"energy, gross on {SLOW}"] == NOT_COMPARABLE
    assert "training" not in table.header


def test_front_plots_are_of_one_machine(task: TaskResults) -> None:
    """One plot for each machine and cost, which title and words name; counts have one for all."""
    plots = {plot.label: plot for plot in plot_costs(task)}
    assert {name for name in plots if name.startswith(("training", "parameters"))} == {
        f"training on {FAST}", f"training on {SLOW}", "parameters",
    }  # fmt: skip
    assert "On the front: small, large." in plots[f"training on {FAST}"].alt
    assert "On the front: large." in plots[f"training on {SLOW}"].alt
    assert len({plot.name for plot in plots.values()}) == len(plots)


def test_curves_are_of_one_machine(task: TaskResults) -> None:
    """Learning and Kaplan-Meier curves are drawn for each machine, with its own median; of all, half took 100 s."""
    plots = plot_curves(task)
    assert len({plot.name for plot in plots}) == len(plots) == 4
    for kind, median, (learning, survival) in ((FAST, "2.00 s", plots[:2]), (SLOW, "3.33 min", plots[2:])):
        assert learning.title.endswith(f"one line per seed, {kind}")
        assert survival.title.endswith(f"over time, {kind}")
        assert f"small 2 of 3, half of them by {median}" in survival.alt
        assert learning.svg.count("<title>small, run ") == 3


def test_ratios_are_of_one_machine(task: TaskResults) -> None:
    """Half as long on one and five times as long on the other, each with an interval; energies of two are no ratio."""
    tables = {"x": make_relative_table(task), "": make_joined_table(task)}
    for unit, table in tables.items():
        assert table is not None
        row = dict(zip((name.removesuffix(", x") for name in table.header), table.rows[0], strict=True))
        assert row["model"] == "small"
        assert 0.45 < float(row[f"training on {FAST}"].split()[0]) < 0.55
        assert 4.5 < float(row[f"training on {SLOW}"].split()[0]) < 5.5
        assert row[f"latency on {FAST}"] == f"2.00 {unit}".strip()
    relative = dict(zip(tables["x"].header, tables["x"].rows[0], strict=True))  # type: ignore[union-attr]
    assert relative[f"energy, gross on {SLOW}"] == NOT_COMPARABLE


def test_latencies_stand_beside_those_of_their_machine(task: TaskResults) -> None:
    """A table of ratios and one of peaks for each machine; in the others a column names it."""
    tables = {table.title: table for table in make_latency_tables(task)}
    for kind, names, hertz in ((FAST, ["large"], "1.00"), (SLOW, ["further"], "10.0")):
        assert [row[0] for row in tables[f"Faster and slower, side by side, {kind}"].rows] == names
        (peak,) = tables[f"Peak rates of {kind}"].rows
        assert peak[2].startswith(hertz)
    assert [row[1] for row in tables["Latency"].rows] == [FAST, FAST, SLOW, SLOW]
    first, second = plot_singles(task)
    assert f"Latency on toy, {FAST}" in first.alt
    assert "far 1.00 ms" in second.alt
    assert "far" not in first.alt


def make_results(folder: Path, *records: Record) -> Results:
    store = Store(folder)
    store.add_done([(record, "f") for record in records])
    return load_results(store)


def test_two_stores_are_compared_on_machines_of_both(results: Results, tmp_path: Path) -> None:
    """Five times as long as before on the slow machine, 8.33 min, not the 3.38 min of all; without one, no verdict."""
    before = [train_on(SLOW, "small", i, 0.8, 100.0, None) for i in range(2)]
    rows = make_change_table(results, make_results(tmp_path / "both", *before)).rows
    (row,) = [row for row in rows if row[2].startswith("training")]
    assert row[2:5] == [f"training on {SLOW}", "8.33 min", "1.67 min"]
    assert row[-1] == "changed: worse"
    third = [move(train_on(SLOW, "small", i, 0.8, 100.0, None), "third") for i in range(2)]
    rows = make_change_table(results, make_results(tmp_path / "none", *third)).rows
    (row,) = [row for row in rows if row[2].startswith("training")]
    assert row[2:] == ["training", "measured on different kinds of machine", "1.67 min", "",
                       "cannot be compared: other machine"]  # fmt: skip


def test_joined_rows_are_of_one_machine(results: Results) -> None:
    """A row for each, with the accuracy of all trainings and the costs of its own; plot and text name the machine."""
    rows = {(row["model"], row["machine"]): row for row in list_joined(results)}
    assert (rows["small", FAST]["training_s"], rows["small", SLOW]["training_s"]) == (5.0, 500.0)
    assert (rows["small", FAST]["latency_s"], rows["small", SLOW]["latency_s"]) == (2e-5, None)
    assert rows["small", FAST]["test_accuracy"] == rows["small", SLOW]["test_accuracy"]
    assert f"small on {SLOW}" in format_joined(list_joined(results))
    figure = draw_joined(list_joined(results), "training_s")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == [f"{model} on {kind}" for model in ("small", "large") for kind in (FAST, SLOW)]


def test_files_name_the_machine_of_each_figure(store: Store, tmp_path: Path) -> None:
    """In CSV, JSON lines, report.json, BOM and the text of methods; nowhere is a median or mean of both."""
    write_report(store, tmp_path, ["md", "csv", "json", "table"])
    text = (tmp_path / "details.md").read_text(encoding="utf-8")
    assert not [pooled for pooled in ("3.38 min", "3.79 min", "505 J", "3.4 [") if pooled in text]
    write_export(store, tmp_path, ["jsonl", "mlbom", "methods-text"])
    with (tmp_path / "figures.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == "training_s" and row["model"] == "small"]
    assert [(row["machine"], float(row["value"])) for row in rows] == [
        *((FAST, 4.0 + i) for i in range(3)), *((SLOW, 400.0 + 100 * i) for i in range(3)),
    ]  # fmt: skip
    lines = (tmp_path / "figures.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["machine"] for line in lines} == {FAST, SLOW}
    report = Report.model_validate_json((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {row.machine for row in report.figures} == {FAST, SLOW}
    text = (tmp_path / "mlbom" / "toy--large.cdx.json").read_text(encoding="utf-8")
    assert text.count(FAST) == text.count(SLOW) == 1
    assert f"2 kinds of machine, which are never pooled: {FAST}; {SLOW}." in (tmp_path / "methods-toy.txt").read_text()
    assert (tmp_path / "table-toy.csv").read_text(encoding="utf-8").count(f'"{SLOW}"') == 4


def test_page_says_that_there_are_several(results: Results, tmp_path: Path) -> None:
    """Above all tables; a task of one kind in such a store says which, and one kind alone is not named."""
    said = [text for text in make_page(results).lead if "kinds of machine" in text]
    assert said == [
        f"Times, energies and memory are of 2 kinds of machine, and those of each are kept apart: {FAST}; {SLOW}."
    ]
    records = [train_on(FAST, "small", i, 0.8, 4.0, 1.0) for i in range(2)]
    other = [r.model_copy(update={"cell": r.cell.model_copy(update={"task": "other"})}) for r in records]
    both = make_results(tmp_path / "both", *records, *(move(record, SLOW) for record in other))
    leads = {section.name: section.lead for section in make_page(both).sections}
    assert leads["toy"][-1] == f"Costs measured on {FAST}."
    assert leads["other"][-1] == f"Costs measured on {SLOW}."
    alone = make_page(make_results(tmp_path / "alone", *records))
    assert FAST not in str(alone.lead) + str([section.lead for section in alone.sections])


def test_trials_on_two_machines_are_timed_apart(tmp_path: Path) -> None:
    """12 s on one and 30 s on the other are no 42 s; the search stands in the row of the machine that it ran on."""
    trials = [
        move(Record(
            cell=Cell(kind="tuning", task="toy", model="small", seed_index=i),
            figures=(
                Figure(name="validation_accuracy", value=0.9, kind="measured", source="c"),
                Figure(name="tuning_s", value=time_s, kind="measured", source="c"),
            ),
        ), kind)
        for i, (time_s, kind) in enumerate(((5.0, FAST), (7.0, FAST), (30.0, SLOW)))
    ]  # fmt: skip
    task = make_results(tmp_path, *make_trainings(), *trials).tasks["toy"]
    (table,) = make_tuning_tables(task)
    assert table.rows[0][:3] == ["small", "3", f"12.0 s on {FAST}; 30.0 s on {SLOW}"]
    searches = read_column(make_training_table(task), "search of recipe")
    assert searches["small", FAST].startswith("12.0 s")
    assert searches["small", SLOW].startswith("30.0 s")


def test_equal_nodes_are_one_kind(tmp_path: Path) -> None:
    """Two machines that differ in memory and kernel alone: one median, and no column for a machine."""
    records = [train_on(FAST, "small", i, 0.8, 4.0 + i, 1.0) for i in range(3)]
    other = {"machine": records[2].provenance["machine"] | {"memory_bytes": 7}, "machine_id": "second"}  # type: ignore[operator]
    records[2] = records[2].model_copy(update={"provenance": records[2].provenance | other})
    table = make_training_table(make_results(tmp_path, *records).tasks["toy"])
    assert "machine" not in table.header
    assert table.rows[0][1] == "5.0 [4.0, 6.0] s"
