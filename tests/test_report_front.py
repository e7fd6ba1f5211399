"""The front of a report: the answer in words, claims counted, one joined table a task, remarks moved below tables."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dlmi_bench.errors import UsageError
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.stats.estimates import estimate_mean
from dlmi_bench.store import Store
from dlmi_reports import make_document, write_report
from dlmi_reports.claims.changes import LockedVerdicts
from dlmi_reports.claims.comparisons import Comparison, Finding, show_log
from dlmi_reports.claims.file import ClaimFile, Family
from dlmi_reports.claims.verdicts import ClaimVerdict, JudgedFamily, Judgement
from dlmi_reports.formats.table import format_paper
from dlmi_reports.front.answer import make_answer
from dlmi_reports.front.glance import make_joined_table
from dlmi_reports.front.legend import move_remarks, strip_letters
from dlmi_reports.front.terminal import print_answer
from dlmi_reports.results.load import Results, TaskResults, load_results
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from report_stores import fill_store, measured_records, train_record

S, OPEN = "SUPPORTED", "INCONCLUSIVE"
EQUAL = {"kind": "non_inferior", "margin": 0.01}
WITHIN = {"kind": "equivalent", "margin": 0.03}
FASTER = {"kind": "ratio", "metric": "latency_s", "batch": 1, "against": ["cnn", "old"]}


def judge(*rows: tuple[str, dict[str, Any]]) -> LockedVerdicts:
    """Verdicts as given, on claims about `mlp`; ratios of 2 over `cnn` and 4 over `old`."""
    common = {"sentence": "It is so.", "source": "us", "task": "toy", "model": "mlp"}
    claims = [{"id": f"c{i}", **common, **row} for i, (_, row) in enumerate(rows)]
    file = ClaimFile.model_validate({"claim": claims})
    ratios = [
        Comparison(
            f"latency, {name} over mlp", estimate_mean([math.log(x), math.log(x) + 0.01], "processes"), 0, show_log, ""
        )
        for name, x in (("cnn", 2.0), ("old", 4.0))
    ]
    judged = tuple(
        Judgement(claim, ClaimVerdict(verdict), ("seen",), finding=Finding(tuple(ratios)))
        for claim, (verdict, _) in zip(file.claim, rows, strict=True)
    )
    return LockedVerdicts((JudgedFamily(Family(id="f", title="Compact"), 0.05, judged),), 0.05)


def count(model: str, n_parameters: int, macs: int) -> ModelResults:
    figures = tuple(
        Figure(name=name, value=value, kind="counted", source="torch")
        for name, value in (("n_parameters", n_parameters), ("macs", macs))
    )
    return ModelResults(
        model, measured={"counts": Record(cell=Cell(kind="counts", task="toy", model=model), figures=figures)}
    )


MODELS = {"mlp": count("mlp", 18858, 18752), "cnn": count("cnn", 2230, 38144)}
RESULTS = Results({"toy": TaskResults("toy", MODELS)}, [], [], [])


def test_answer_names_equals_margins_and_costs() -> None:
    """Whom it equals, to whom it loses, what was shown of its costs, and exact counts of the first equal."""
    verdicts = judge(
        (S, EQUAL | {"against": ["cnn"]}),
        (S, EQUAL | {"against": ["old"]}),
        (OPEN, EQUAL | {"against": ["big"], "nearest": "c3"}),
        (S, WITHIN | {"against": ["big"]}),
        (S, FASTER),
    )
    answer = make_answer(verdicts, RESULTS)
    (sentence,) = answer.sentences
    equal = "is at least as accurate as cnn and old (within 1 point) and is at most 3 points less accurate than big."
    assert sentence.startswith(f"mlp {equal} Beside cnn it answers 2.0")
    assert sentence.endswith(" x as fast, with 8.46 x the parameters and 0.492 x the multiply-accumulates.")
    assert [(chip.state, chip.n) for chip in answer.chips] == [("supported", 4), ("equivalent", 1)]
    assert [claim.state for claim in answer.groups[0].claims] == ["supported"] * 2 + ["equivalent"] + ["supported"] * 2


@pytest.mark.parametrize("verdict", ["REFUTED", OPEN, "NOT MEASURED"])
def test_nothing_is_said_that_was_not_shown(verdict: str) -> None:
    """Without a supported accuracy there is no sentence, however cheap the model is."""
    answer = make_answer(judge((verdict, EQUAL | {"against": ["cnn"]}), (S, FASTER)), RESULTS)
    assert answer.sentences == []  # of these results there is no accuracy either
    assert sum(chip.n for chip in answer.chips) == 2


def test_no_margin_means_more_accurate() -> None:
    """Without a margin a model that is at least as accurate is more so; other models keep theirs."""
    verdicts = judge((S, EQUAL | {"against": ["cnn"], "margin": 0.0}), (S, EQUAL | {"against": ["old"]}))
    (sentence,) = make_answer(verdicts, RESULTS).sentences
    assert sentence.startswith(
        "mlp is more accurate than cnn and is at least as accurate as old (within 1 point). Beside"
    )


def test_unsupported_ratio_is_not_in_the_answer() -> None:
    """A latency that is open is left out; counts are exact and stay."""
    (sentence,) = make_answer(judge((S, EQUAL | {"against": ["cnn"]}), (OPEN, FASTER)), RESULTS).sentences
    assert "as fast" not in sentence
    assert sentence.endswith("Beside cnn it has 8.46 x the parameters and 0.492 x the multiply-accumulates.")


def test_joined_table_is_relative_to_the_reference(tmp_path: Path) -> None:
    """Six columns at most; the reference costs 1 of everything; a twentieth of its parameters is 0.05."""
    task = load_results(fill_store(tmp_path)).tasks["toy"]
    table = make_joined_table(task)
    assert table is not None
    assert task.reference is not None
    assert len(table.header) <= 6
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert set(list(rows[task.reference.name].values())[2:]) == {"1"}
    assert float(rows["small"]["parameters, x"]) == pytest.approx(1 / 7**3, rel=0.01)
    assert rows["small"]["latency, x"].startswith("0.14")
    assert task.reference.name in table.caption


def test_task_with_one_model_has_nothing_to_compare() -> None:
    assert make_joined_table(TaskResults("toy", {"mlp": MODELS["mlp"]})) is None


def test_remarks_become_letters_with_a_legend() -> None:
    """The same remark has the same letter; words and INVALID stay; what is sorted by is the number."""
    rows = [
        ["a", "1.0 us (noisy)", "8.00 J (modelled, meter) (noisy)"],
        ["b (b)", "2 us (noisy)", "n/a (not run)"],
        ["c", "3 us (INVALID)", "4 J"],
    ]
    moved = move_remarks(Table("t", "", ["m", "x", "y"], rows))
    assert moved.rows == [
        ["a", "1.0 us ᵃ", "8.00 J ᵇᵃ"],
        ["b (b)", "2 us ᵃ", "n/a (not run)"],
        ["c", "3 us (INVALID)", "4 J"],
    ]
    assert moved.notes == ["ᵃ noisy; ᵇ modelled, meter."]
    assert strip_letters("8.00 J ᵇᵃ") == "8.00 J"
    many = [[f"{i} us (remark {i})"] for i in range(60)]
    assert move_remarks(Table("t", "", ["x"], many)).rows == many


def test_summary_fits_a_pull_request(tmp_path: Path) -> None:
    """At most 150 lines, with the answer first; everything else is in the file that it names."""
    paths = {path.name: path for path in write_report(fill_store(tmp_path / "out"), tmp_path, ["md"])}
    text = paths["report.md"].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "(details.md)" in text
    assert "Every seed" not in text
    assert "Every seed" in paths["details.md"].read_text(encoding="utf-8")


def test_joined_table_has_files_of_its_own(tmp_path: Path) -> None:
    """Markdown as in the report, plain SI numbers as CSV, and LaTeX with caption and label."""
    store = fill_store(tmp_path / "out")
    paths = {path.suffix: path for path in write_report(store, tmp_path, ["table"])}
    assert set(paths) == {".md", ".csv", ".tex"}
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(paths[".csv"].read_text(encoding="utf-8")))}
    assert float(rows["small"]["latency_s"]) == 1e-5
    assert float(rows["small"]["n_parameters"]) == 1000
    section = next(section for section in make_document(store).page.sections if section.glance)
    assert section.glance is not None
    text = paths[".tex"].read_text(encoding="utf-8")
    assert text == format_paper(section.glance.table, "table-toy")
    assert text.count(r"\\") == len(section.glance.table.rows) + 1


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_shows_the_answer(tmp_path: Path, width: int) -> None:
    """Within its width, without colours where there is no terminal; every model of the table is there."""
    out = io.StringIO()
    print_answer(fill_store(tmp_path), Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "\x1b" not in out.getvalue()
    assert any(line.split()[:1] == ["small"] for line in lines)


def test_empty_store_has_no_answer(tmp_path: Path) -> None:
    assert make_answer(LockedVerdicts((), 0.05), Results({}, [], [], [])).sentences == []
    with pytest.raises(Exception, match="no finished cell"):
        print_answer(Store(tmp_path), Console())


def test_terminal_says_first_what_changed(tmp_path: Path) -> None:
    """With another store the first line compares the two."""
    out, store = io.StringIO(), fill_store(tmp_path / "a")
    print_answer(store, Console(file=out, width=200), against=fill_store(tmp_path / "b"))
    assert out.getvalue().startswith(f"Compared with {tmp_path / 'b'}: better: nothing; worse: nothing; ")


def test_plots_for_print_are_a_column_wide(tmp_path: Path) -> None:
    """Each plot in each kind, 3.4 inch wide, the same bytes every time; the report's own are as they were."""
    store = fill_store(tmp_path / "out")
    found = [
        write_report(store, tmp_path / name, ["md"], plots=("pdf", "png") if name != "plain" else ())
        for name in ("a", "b", "plain")
    ]
    a, b, plain = ({path.name: path.read_bytes() for path in paths} for paths in found)
    assert a == b
    assert {name: a[name] for name in plain} == plain
    names = {name.removesuffix(".svg") for name in plain if name.endswith(".svg")}
    assert names
    assert {f"{name}.{kind}" for name in names for kind in ("pdf", "png")} == set(a) - set(plain)
    assert a["front-toy-latency.pdf"].startswith(b"%PDF")
    width = int.from_bytes(a["front-toy-latency.png"][16:20], "big")
    assert width == round(3.4 * 300)


def test_other_kinds_of_plot_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--plots: no 'pfd'"):
        write_report(fill_store(tmp_path / "out"), tmp_path, ["md"], plots=("pfd",))


def test_columns_of_the_joined_table_can_be_chosen(tmp_path: Path) -> None:
    """In the order that was asked for; other names, or more than fit, are refused before anything is read."""
    store = fill_store(tmp_path)
    document = make_document(store, columns=("training", "parameters"))
    (glance,) = [section.glance for section in document.page.sections if section.glance]
    assert glance.table.header == ["model", "test accuracy, %", "training, x", "parameters, x"]
    with pytest.raises(UsageError, match="--columns: no 'latancy'"):
        make_document(store, columns=("latancy",))
    with pytest.raises(UsageError, match="--columns: 5 costs"):
        make_document(store, columns=("latency", "parameters", "macs", "file", "training"))


def test_task_without_claims_has_its_best_models_named(tmp_path: Path) -> None:
    """The most accurate with its interval; `quick`, as accurate on 100 examples, in a tenth of its time."""
    store = Store(tmp_path)
    for model, test, latency_s in (("best", 0.95, 1e-4), ("quick", 0.94, 1e-5), ("poor", 0.5, 1e-6)):
        records = [train_record(model, i, test, 1.0) for i in range(3)] + measured_records(model, 10, latency_s)
        store.add_done([(record, "f") for record in records])
    (sentence,) = make_document(store).page.answer.sentences
    assert sentence.startswith("On toy (synthetic data), best is the most accurate: 95.0 [88.")
    assert "Of those not shown to be less accurate, quick answers fastest, in 0.1" in sentence


def test_one_model_is_named_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_done([(train_record("lone", i, 0.9, 1.0), "f") for i in range(2)])
    (sentence,) = make_document(store).page.answer.sentences
    assert sentence.startswith("On toy (synthetic data), lone was judged: 90.0 [")


def test_ratio_without_an_interval_says_why(tmp_path: Path) -> None:
    """Latencies of two sessions have no interval: a bare number would look exact."""
    store = Store(tmp_path)
    for model, test, session in (("best", 0.95, "a"), ("other", 0.9, "b")):
        records = [train_record(model, i, test, 1.0) for i in range(3)] + measured_records(model, 10, 1e-5, session)
        store.add_done([(record, "f") for record in records])
    table = make_joined_table(load_results(store).tasks["toy"])
    assert table is not None
    assert table.rows[1][2] == "1.00 ᵃ"
    assert table.notes == ["ᵃ not timed in the same session."]


def test_caption_speaks_of_latency_where_it_is_shown(tmp_path: Path) -> None:
    task = load_results(fill_store(tmp_path)).tasks["toy"]
    shown, other = (make_joined_table(task, columns) for columns in (("latency",), ("parameters",)))
    assert shown is not None
    assert other is not None
    assert "ONNX Runtime" in shown.caption
    assert "ONNX Runtime" not in other.caption
