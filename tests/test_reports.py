"""Reports: golden text, the same figures in every format, and text that stays text."""

import csv
import json
import re
from pathlib import Path

import pytest
from stand_ins import Command

from bench.records import Cell, Figure, Record, unavailable
from bench.store import Store
from bench.units import escape_markdown
from reports import write_report
from reports.load import load_results
from reports.plots import collect_points, plot_pareto
from reports.tables import make_accuracy_table, make_inference_table, make_training_table

CPU = {"component": "cpu"}
PROVENANCE = {
    "data": {"name": "toy", "source": "nowhere", "sha256": {"test": "ab"}, "is_synthetic": True, "note": "A toy."},
    "splits": {"train": 80, "test": 100},
    "target": {"validation_accuracy": 0.95, "test_accuracy_published": 0.944, "source": "a paper"},
    "machine": {"cpu": "abacus"},
    "commit": "c0ffee",
}


def accuracy(name: str, value: float) -> Figure:
    return Figure(name=name, value=value, kind="measured", source="file", n=100)


def train_record(model: str, index: int, test: float, time_s: float | None) -> Record:
    reached = (
        unavailable("time_to_target_s", "censored")
        if time_s is None
        else Figure(name="time_to_target_s", value=time_s, kind="measured", source="c")
    )
    figures = (
        accuracy("test_accuracy", test),
        accuracy("validation_accuracy", test + 0.02),
        reached,
        Figure(name="training_s", value=4.0 + index, kind="measured", source="c"),
        Figure(name="training_energy_j", value=8.0, kind="modelled", source="cpu_load_model", conditions=CPU),
    )
    cell = Cell(kind="train", task="toy", model=model, seed_index=index)
    artifact = {"role": "onnx", "sha256": "d" * 64, "size_bytes": 3, "suffix": ".onnx"}
    return Record.model_validate({"cell": cell, "figures": figures, "artifacts": [artifact], "provenance": PROVENANCE})


def measured_records(model: str, n_parameters: int, latency_s: float) -> list[Record]:
    identity = {"backend": "onnxruntime", "batch": 1, "threads": 1}
    latency = Figure(
        name="latency_s", value=latency_s, lo=latency_s * 0.98, hi=latency_s * 1.3, n=5, kind="measured",
        source="c", conditions=identity, notes=("mixed: processes range over 1.33 x",),
    )  # fmt: skip
    counts = Figure(name="n_parameters", value=n_parameters, kind="counted", source="torch")
    return [
        Record(cell=Cell(kind="latency", task="toy", model=model), figures=(latency,)),
        Record(cell=Cell(kind="counts", task="toy", model=model), figures=(counts,)),
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two models of made-up figures: `small` with a censored seed, `<b>big|` with a name that is markup everywhere."""
    store = Store(tmp_path / "out")
    records = [train_record("small", 0, 0.90, 1.0), train_record("small", 1, 0.92, None)]
    records += [train_record("<b>big|", 0, 0.95, 2.0), *measured_records("small", 18858, 1.634e-5)]
    records += measured_records("<b>big|", 66154, 4.1e-5)
    store.add_done([(record, "f") for record in records])
    store.add_failed([("train/toy/worse/0", "f")], "out of memory\n  remedy: buy some")
    return store


def test_accuracy_row_by_hand(store: Store) -> None:
    """Mean 91 % of 90 and 92, sd 1.41 points, Wilson of 91 in 100, one of two seeds reached the target."""
    table = make_accuracy_table(load_results(store).tasks["toy"])
    assert table.rows[0] == ["small", "18 858", "91.0", "[83.8, 95.2]", "1.41 (n=2)", "93.0", "2.0", "1 of 2 [9, 91 %]"]
    assert table.rows[1][4] == "n/a (needs 2)"


def test_latency_is_shown_with_its_bounds_and_its_mark(store: Store) -> None:
    """Median, smallest and largest process, rounded alike, marked as mixed; what is missing says so."""
    row = make_inference_table(load_results(store).tasks["toy"]).rows[0]
    assert "16 [16, 21] us (mixed)" in row
    assert row[1] == "not measured"


def test_censored_runs_count(store: Store) -> None:
    """Half of the seeds reached the target at 1 s, so the Kaplan-Meier median is 1 s; the range is over all seeds."""
    row = make_training_table(load_results(store).tasks["toy"]).rows[0]
    assert row[1:3] == ["4.5 [4.0, 5.0] s", "1.00 s"]
    assert row[-1] == "8.00 J (modelled, cpu_load_model)"


def test_every_format_is_written_and_synthetic_is_said(store: Store, tmp_path: Path) -> None:
    """Markdown, HTML, CSV and the plot; each names the data as synthetic where its figures appear."""
    paths = {path.name: path for path in write_report(store, tmp_path / "r", ["md", "html", "csv"])}
    assert set(paths) == {"report.md", "pareto-toy.svg", "report.html", "figures.csv"}
    for name in ("report.md", "report.html", "pareto-toy.svg"):
        assert "SYNTHETIC" in paths[name].read_text()
    assert "out of memory" in paths["report.md"].read_text()


def test_tables_are_the_same_in_markdown_and_html(store: Store, tmp_path: Path) -> None:
    """Every cell of every table appears in both formats."""
    markdown, _, html = (path.read_text() for path in write_report(store, tmp_path, ["md", "html"]))
    task = load_results(store).tasks["toy"]
    for table in (make_accuracy_table(task), make_inference_table(task), make_training_table(task)):
        for cell in (cell for row in table.rows for cell in row[1:]):
            assert escape_markdown(cell) in markdown
            assert cell.replace("<", "&lt;") in html


def test_names_stay_text(store: Store, tmp_path: Path) -> None:
    """A model called <b>big| makes neither bold text nor a new column."""
    markdown, _, html = (path.read_text() for path in write_report(store, tmp_path, ["md", "html"]))
    assert "<b>big" not in html
    assert "&lt;b&gt;big|" in html
    rows = [line for line in markdown.splitlines() if "big" in line and line.startswith("|")]
    assert rows
    header = next(line for line in markdown.splitlines() if line.startswith("| model | parameters"))
    unescaped = re.compile(r"(?<!\\)\|")
    assert len(unescaped.findall(rows[0])) == len(unescaped.findall(header))


def test_html_fetches_nothing(store: Store, tmp_path: Path) -> None:
    """One file: no script or style from elsewhere, no image, and under 2 MB."""
    (path,) = write_report(store, tmp_path, ["html"])
    text = path.read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert "@import" not in text
    assert "url(http" not in text
    assert path.stat().st_size < 2_000_000


def test_csv_holds_every_figure_in_si_units(store: Store, tmp_path: Path) -> None:
    """One row per figure, values to the last digit, reasons where there is none."""
    (path,) = write_report(store, tmp_path, ["csv"])
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 5 + 2 * 2
    latency = next(row for row in rows if row["name"] == "latency_s")
    assert float(latency["value"]) == 1.634e-5
    assert json.loads(latency["conditions"]) == {"backend": "onnxruntime", "batch": 1, "threads": 1}
    assert [row["reason"] for row in rows if row["value"] == ""] == ["censored"]


def test_plot_bytes_are_reproducible(store: Store) -> None:
    """The same figures give the same SVG, byte for byte."""
    task = load_results(store).tasks["toy"]
    assert plot_pareto(task) == plot_pareto(task)


def test_points_carry_both_uncertainties(store: Store) -> None:
    """A point has the Wilson interval upwards and the range of processes sideways."""
    point = collect_points(load_results(store).tasks["toy"], "latency", 1e6)[0]
    assert (point.cost, point.cost_lo, point.cost_hi) == pytest.approx((16.34, 16.01, 21.24), abs=0.01)
    assert point.accuracy == pytest.approx(91)
    assert point.accuracy_lo < point.accuracy < point.accuracy_hi


def test_report_of_a_real_run(finished: Command) -> None:
    """The installed command writes the whole report of a real run, and every figure of the store is in the CSV."""
    files = finished.json("report")["files"]  # type: ignore[index]
    assert [Path(name).name for name in files] == ["report.md", "pareto-usps.svg", "report.html", "figures.csv"]
    text = (finished.folder / "out" / "report" / "report.md").read_text()
    assert "Real data" in text
    assert "SYNTHETIC" not in text
    assert "2 of 2" in text or "1 of 2" in text or "0 of 2" in text
    with (finished.folder / "out" / "report" / "figures.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert names >= {
        "test_accuracy", "validation_accuracy", "decision_disagreement", "n_test_reads", "training_s", "evaluation_s",
        "loading_s", "training_energy_j", "inference_energy_j", "latency_s", "cold_start_s", "peak_bytes", "macs",
        "size_bytes", "n_parameters",
    }  # fmt: skip
