"""Reports: golden text, the same figures in every format, and text that stays text."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest

from dlmi_bench.errors import StoreError, UnavailableError, UsageError
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.units import escape_markdown
from dlmi_reports import write_export, write_report
from dlmi_reports.formats.json import make_schema
from dlmi_reports.front.legend import move_remarks
from dlmi_reports.page import make_page
from dlmi_reports.plots.front import collect_points, plot_front
from dlmi_reports.results.costs import COSTS
from dlmi_reports.results.load import load_results
from dlmi_reports.tables.changes import make_change_section
from dlmi_reports.tables.overview import make_accuracy_table, make_inference_table, make_seed_table, make_training_table
from dlmi_reports.tables.references import make_observer_tables
from report_stores import HOSTILE, PROVENANCE, fill_store, measured_records, train_record
from stand_ins import Command


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


def test_looks_at_the_test_split_are_summed_over_artifacts(store: Store) -> None:
    """Two files of one training, one read twice: 3 reads, the most in the lead and in the training's row."""
    reads = (
        Figure(name="n_test_reads", value=n, kind="counted", source="c", conditions={"artifact": role})
        for role, n in {"onnx": 1, "torch": 2}.items()
    )
    record = train_record("small", 0, 0.9, 1.0)
    store.add_done([(record.model_copy(update={"figures": (*record.figures, *reads)}), "f")])
    results = load_results(store)
    assert (
        " 2 artifacts were evaluated on a test split, with 3 reads of it, at most 2 for one artifact."
        in make_page(results).sections[-1].lead[0]
    )
    table = make_seed_table(results.tasks["toy"])
    shown = [row[table.header.index("test reads")] for row in table.rows]
    assert sorted(shown) == ["2", "not measured", "not measured"]


def test_censored_runs_count(store: Store) -> None:
    """Half of the seeds reached the target at 1 s, so the Kaplan-Meier median is 1 s; the range is over all seeds."""
    row = make_training_table(load_results(store).tasks["toy"]).rows[0]
    assert row[1:3] == ["4.5 [4.0, 5.0] s", "1.00 s"]
    assert row[-2:] == ["8.00 J (modelled, cpu_load_model)", "not measured"]


def test_every_format_is_written_and_synthetic_is_said(store: Store, tmp_path: Path) -> None:
    """Markdown, HTML, CSV and the plot; each names the data as synthetic where its figures appear."""
    paths = {path.name: path for path in write_report(store, tmp_path / "r", ["md", "html", "csv"])}
    plots = {f"{name}-toy.svg" for name in ("learning", "survival", "latency")}
    assert (
        set(paths)
        == {"report.md", "details.md", "report.html", "figures.csv"}
        | {f"front-toy-{name}.svg" for name in ("parameters", "latency", "training")}
        | plots
    )
    for name in ("report.md", "report.html", "front-toy-latency.svg"):
        assert "SYNTHETIC" in paths[name].read_text(encoding="utf-8")
    assert "out of memory" in paths["report.md"].read_text(encoding="utf-8")
    text = paths["details.md"].read_text(encoding="utf-8")
    assert "out of memory" in text
    links = re.findall(r"\]\((?!#)(.*?)\)", text)
    assert sorted(links) == sorted(name for name in paths if name.endswith(".svg"))
    assert re.findall(r'id="(section-\d)"', text) == re.findall(r"\]\(#(section-\d)\)", text)


def test_tables_are_the_same_in_markdown_and_html(store: Store, tmp_path: Path) -> None:
    """Every cell of every table appears in both formats."""
    paths = {path.name: path.read_text(encoding="utf-8") for path in write_report(store, tmp_path, ["md", "html"])}
    markdown, html = paths["details.md"], paths["report.html"]
    task = load_results(store).tasks["toy"]
    for table in map(move_remarks, (make_accuracy_table(task), make_inference_table(task), make_training_table(task))):
        for cell in (cell for row in table.rows for cell in row[1:]):
            assert escape_markdown(cell) in markdown
            assert cell.replace("<", "&lt;") in html


def test_names_stay_text(store: Store, tmp_path: Path) -> None:
    """A model called <b>big| makes neither bold text nor a new column."""
    paths = {path.name: path.read_text(encoding="utf-8") for path in write_report(store, tmp_path, ["md", "html"])}
    markdown, html = paths["details.md"], paths["report.html"]
    assert "<b>big" not in html
    assert "&lt;b&gt;big|" in html
    rows = [line for line in markdown.splitlines() if "big" in line and line.startswith("|")]
    assert rows
    header = next(line for line in markdown.splitlines() if line.startswith("| model | test accuracy"))
    unescaped = re.compile(r"(?<!\\)\|")
    assert len(unescaped.findall(rows[0])) == len(unescaped.findall(header))


def test_html_fetches_nothing(store: Store, tmp_path: Path) -> None:
    """One file: no script or style from elsewhere, no image, and under 2 MB."""
    (path,) = write_report(store, tmp_path, ["html"])
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert "@import" not in text
    assert "url(http" not in text
    assert path.stat().st_size < 2_000_000


def test_csv_holds_every_figure_in_si_units(store: Store, tmp_path: Path) -> None:
    """One row per figure, values to the last digit, reasons where there is none."""
    (path,) = write_report(store, tmp_path, ["csv"])
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 6 + 2 * 2
    latency = next(row for row in rows if row["name"] == "latency_s")
    assert float(latency["value"]) == 1.634e-5
    assert json.loads(latency["conditions"]) == {"backend": "onnxruntime", "batch": 1, "threads": 1}
    assert [row["reason"] for row in rows if row["value"] == ""] == ["censored"] * 2


def test_plot_bytes_are_reproducible(store: Store) -> None:
    """The same figures give the same SVG, byte for byte."""
    task = load_results(store).tasks["toy"]
    assert plot_front(task, COSTS[0]) == plot_front(task, COSTS[0])


def test_labels_of_points_are_text(store: Store) -> None:
    """Letters, not outlines: any script is drawn, the file stays small, and a halo keeps lines away."""
    plot = plot_front(load_results(store).tasks["toy"], COSTS[0])
    assert plot is not None
    assert ">small</text>" in plot.svg
    assert ">&lt;b&gt;big|</text>" in plot.svg
    assert plot.svg.count("paint-order: stroke") == 2
    assert len(plot.svg) < 40_000


def test_points_carry_both_uncertainties(store: Store) -> None:
    """A point has the Wilson interval upwards and the range of processes sideways."""
    point = collect_points(load_results(store).tasks["toy"], next(c for c in COSTS if c.name == "latency"))[0]
    assert (point.cost, point.cost_lo, point.cost_hi) == pytest.approx((16.34, 16.01, 21.24), abs=0.01)
    assert point.accuracy == pytest.approx(91)
    assert point.accuracy_lo < point.accuracy < point.accuracy_hi


def test_report_of_a_real_run(finished: Command) -> None:
    """The installed command writes the whole report of a real run, and every figure of the store is in the CSV."""
    files = finished.json("report")["files"]  # type: ignore[index]
    names = {Path(name).name for name in files}
    assert names >= {"report.md", "learning-usps.svg", "report.html", "figures.csv", "report.tex", "report.json"}
    text = (finished.folder / "out" / "report" / "details.md").read_text(encoding="utf-8")
    assert "Real data" in text
    assert "SYNTHETIC" not in text
    assert "2 of 2" in text or "1 of 2" in text or "0 of 2" in text
    with (finished.folder / "out" / "report" / "figures.csv").open() as file:
        figures = {row["name"] for row in csv.DictReader(file)}
    assert figures >= {
        "test_accuracy", "validation_accuracy", "decision_disagreement", "n_test_reads", "training_s", "evaluation_s",
        "loading_s", "training_energy_j", "inference_energy_j", "latency_s", "cold_start_s", "peak_bytes", "macs",
        "size_bytes", "n_parameters",
    }  # fmt: skip


def test_hostile_names_are_text_everywhere(tmp_path: Path) -> None:
    """Markup, commands, 200 characters and turned text: no format executes or is broken by them."""
    paths = {p.name: p for p in write_report(fill_store(tmp_path / "out"), tmp_path, ["md", "html", "latex"])}
    assert "<script>alert" not in paths["report.html"].read_text(encoding="utf-8")
    assert "<script>alert" not in paths["front-toy-latency.svg"].read_text(encoding="utf-8")
    assert "\\input" not in paths["report.tex"].read_text(encoding="utf-8")
    assert all("](b)" not in paths[name].read_text(encoding="utf-8") for name in ("report.md", "details.md"))
    assert all("\u202e" not in path.read_text(encoding="utf-8") for path in paths.values())
    assert paths["report.html"].stat().st_size < 2_000_000


def test_differences_are_resolved_or_not(tmp_path: Path) -> None:
    """A store against itself changed nothing; against one of another machine and data it cannot be compared."""
    store = fill_store(tmp_path / "a")
    section = make_change_section(load_results(store), load_results(store), "itself")
    verdicts = {row[-1] for table in section.tables if table.title == "What changed" for row in table.rows}
    assert verdicts == {"same", "same, seed by seed", "not resolved: not measured side by side"}
    other = Store(tmp_path / "b")
    moved = PROVENANCE | {"machine_id": "m2", "data": PROVENANCE["data"] | {"sha256": {"test": "cd"}}}  # type: ignore[operator]
    records = [train_record("small", i, 0.9, 1.0) for i in range(2)] + measured_records("small", 999, 1e-5)
    other.add_done([(r.model_copy(update={"provenance": moved}), "f") for r in records])
    section = make_change_section(load_results(store), load_results(other), "another")
    assert section.lead[0] == (
        "Compared with another: better: nothing; worse: parameters of small on toy; 0 same, 0 not resolved, "
        "3 cannot be compared."
    )
    rows = {row[2]: row[-1] for table in section.tables if table.title == "What changed" for row in table.rows}
    assert rows == {
        "test accuracy %": "cannot be compared: other test data",
        "parameters": "changed: worse",
        "latency": "cannot be compared: other machine",
        "training": "cannot be compared: other machine",
    }


def test_unknown_reference_and_empty_store_are_named(store: Store, tmp_path: Path) -> None:
    """Each with what to do; the empty one shows why its only attempt failed."""
    with pytest.raises(UsageError, match="use one of"):
        write_report(store, tmp_path, ["md"], reference="nobody")
    empty = Store(tmp_path / "empty")
    empty.add_failed([("train/toy/m/0", "f")], "out of memory")
    with pytest.raises(StoreError, match="out of memory"):
        write_report(empty, tmp_path, ["md"])


def test_published_schema_is_current() -> None:
    """docs/report.schema.json is what the program writes; `nox -s schema` renews it."""
    path = Path(__file__).parent.parent / "docs" / "report.schema.json"
    if not path.is_file():
        pytest.skip("away from the checkout")
    assert json.loads(path.read_text(encoding="utf-8")) == make_schema()


def test_exports_validate(tmp_path: Path) -> None:
    """ML-BOMs pass the 1.6 schema, BoAmps fits its data model, model cards are YAML, JSONL has every figure."""
    yaml = pytest.importorskip("yaml")
    validation = pytest.importorskip("cyclonedx.validation.json")
    from codecarbon.output_methods.boamps.models import BoAmpsReport
    from cyclonedx.schema import SchemaVersion

    formats = ["jsonl", "boamps", "mlbom", "model-card"]
    paths = write_export(fill_store(tmp_path / "out"), tmp_path, formats)
    boms = [path.read_text(encoding="utf-8") for path in paths if path.parent.name == "mlbom"]
    assert len(boms) == 2 + len(HOSTILE)
    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    assert [validator.validate_str(bom) for bom in boms] == [None] * len(boms)
    assert "confidenceInterval" in boms[0]
    assert "activityEnergyCost" in boms[0]
    for path in paths:
        if path.parent.name == "boamps":
            content = json.loads(path.read_text(encoding="utf-8"))
            assert BoAmpsReport.from_dict(content).to_dict() == content
    texts = [path.read_text(encoding="utf-8") for path in paths if path.parent.name == "cards"]
    cards = [yaml.safe_load(text.split("---")[1]) for text in texts]
    assert {card["model-index"][0]["name"] for card in cards} >= {"small", HOSTILE[0]}
    assert len(paths[0].read_text(encoding="utf-8").splitlines()) == (2 + len(HOSTILE)) * (2 * 6 + 2)


def test_parquet_holds_every_figure(tmp_path: Path) -> None:
    """The same rows as the CSV, typed: numbers as numbers, missing ones as nothing, conditions as JSON."""
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = write_export(fill_store(tmp_path / "out"), tmp_path, ["parquet"])
    rows = parquet.read_table(path).to_pylist()
    assert len(rows) == (2 + len(HOSTILE)) * (2 * 6 + 2)
    assert {row["model"] for row in rows} >= {"small", HOSTILE[0]}
    latency = next(row for row in rows if row["name"] == "latency_s")
    assert latency["value"] == 1e-5
    assert len(latency["samples"]) == 5
    assert json.loads(latency["conditions"]) == {"backend": "onnxruntime", "batch": 1, "threads": 1}
    assert [row["reason"] for row in rows if row["value"] is None] == ["censored"] * 2 * (2 + len(HOSTILE))


def test_parquet_without_its_package_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of usage with a remedy, and no file."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnavailableError, match=r"no package pyarrow\n.*install dlmi-bench\[parquet\]"):
        write_export(fill_store(tmp_path / "out"), tmp_path, ["parquet"])
    assert not list(tmp_path.glob("*.parquet"))


def test_efficiency_by_hand(store: Store) -> None:
    """Between chance 1/2 and the higher ceiling .95, .91 is 91 % of the way; the ceiling itself 100 %."""
    values = {"uniform chance": 0.5, "ceiling of less": 0.8, "ceiling of all": 0.95}
    figures = tuple(
        Figure(name="test_accuracy", value=value, kind="derived", source="c", conditions={"observer": observer})
        for observer, value in values.items()
    )
    store.add_done([(Record(cell=Cell(kind="references", task="toy", model="references"), figures=figures), "f")])
    (table,) = make_observer_tables(load_results(store).tasks["toy"])
    assert {row[0]: row[4] for row in table.rows} == {
        "ceiling of all": "100", "<b>big|": "100", "small": "91", "ceiling of less": "67", "uniform chance": "0",
    }  # fmt: skip
