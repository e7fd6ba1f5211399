"""Text from outside in every field: no file, annotation or line of ours passes on what it could do."""

import csv
import json
import re
import unicodedata
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dlmi_bench.gating import output
from dlmi_bench.gating.settings import Settings
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.units import clean_all, clean_text
from dlmi_reports import write_export, write_report
from dlmi_reports.results.load import load_results
from report_stores import keep_pictures, measured_records, train_record

PARTS = (
    *("\0", "\x1b[2J", "\r", "\n", "\t", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\u200b", "\ufeff", "\ufffe"),
    *("::error::x", "\n::set-output name=a::b", ":::", "##[error]x", "=1+1", "+1", "-x", "@x", "<b>&", "]]>", "|`\\"),
)
texts = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join)


def is_clean(text: str) -> bool:
    return all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") for c in text)


def obeys(text: str) -> bool:
    """GitHub's runner finds a command in it."""
    return "##[" in text or any(line.lstrip().startswith("::") for line in text.splitlines())


def poison(record: Record, text: str) -> Record:
    """The record with the text in front of every name, remark and fact."""
    content = record.model_dump()
    for figure in content["figures"]:
        figure |= {name: text + figure[name] for name in ("source", "method", "interval")}
        figure["reason"] = text + figure["reason"] if figure["reason"] else ""
        figure["notes"] = (*figure["notes"], text)
        figure["conditions"] |= {f"{text}x": text}
    named = NO_NAME.sub("", text)  # control characters, which no name can hold
    cell = content["cell"] | {name: named + content["cell"][name] for name in ("task", "model")}
    content["provenance"] = clean_all(content["provenance"], lambda leaf: leaf if leaf in KEYS else text + leaf)
    content["details"] = content["details"] | {"class_names": [f"{text}well", f"{text}ill"], text: text}
    return Record.model_validate(content | {"cell": cell})


NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")
KEYS = {*"data source note sha256 splits machine machine_id target versions commit test".split()}


def fill_hostile(folder: Path, text: str) -> Store:
    store = Store(folder)
    trainings = [train_record("m", i, 0.8 + i / 100, 1.0) for i in range(2)]
    records = [keep_pictures(trainings[0]), trainings[1], *measured_records("m", 1000, 1e-5)]
    latency = Figure(name="imported_latency_s", value=1e-3, kind="measured", source="x", conditions={"benchmark": text})
    records.append(
        Record(cell=Cell(kind="imported", task="-", model="m"), figures=(latency,), provenance={"file": "x"})
    )
    store.add_done([(poison(record, text), "f") for record in records])
    store.add_failed([(f"train/{text}/{text}/0", "f")], f"{text}\n{text}")
    return store


def list_texts(path: Path) -> list[str]:
    """All text of a file; of JSON, which escapes characters, what a reader gets."""
    text = path.read_text(encoding="utf-8")
    if path.suffix not in (".json", ".jsonl"):
        return [text]
    found: list[str] = []
    for part in text.splitlines() if path.suffix == ".jsonl" else [text]:
        clean_all(json.loads(part), lambda leaf: found.append(leaf) or leaf)  # type: ignore[func-returns-value]
    return found


@settings(max_examples=4)
@given(text=texts)
@example(text="=1+1")
@example(text="\0\x1b[2J\r\u202e\ufffe")
def test_reports_pass_on_no_hostile_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No control or turning character in any file of the report and exports, no formula in a CSV; pictures are XML."""
    folder = tmp_path_factory.mktemp("hostile")
    store = fill_hostile(folder / "store", text)
    paths = write_report(store, folder / "report", against=store, summary=folder / "summary.md")
    paths += write_export(
        store, folder / "export", ("jsonl", "csv", "boamps", "mlbom", "model-card", "checklist", "methods-text")
    )
    store.close()
    for path in paths:
        assert all(map(is_clean, list_texts(path))), path
        if path.suffix == ".svg":
            ET.parse(path)  # noqa: S314 - our own file
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                cells = [cell for row in csv.reader(file) for cell in row if cell != "-"]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@settings(max_examples=50)
@given(text=texts)
def test_answers_of_the_gate_pass_on_no_hostile_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """JUnit is XML, an annotation is one command of ours, no line of the terminal is one, and nothing is turned."""
    decisions = (Decision(text + v, v, text, 1.2, 1.1, 1.3, 0.05, notes=(text,)) for v in Verdict)
    rows = tuple(output.VerdictRow("cost", decision) for decision in decisions)
    made = output.GateOutcome(rows, {"reason": text, "created": text}, {"machine": {"cpu": text}}, Settings(), (text,))
    path = tmp_path_factory.mktemp("gate") / "junit.xml"
    output.write_junit(made, path)
    assert len(ET.parse(path).getroot()) == len(rows)  # noqa: S314 - our own file
    annotations = output.format_annotations(made)
    assert all(line.startswith(("::error title=", "::warning title=")) and "\n" not in line for line in annotations)
    shown = json.dumps(output.to_json(made), ensure_ascii=False)
    answers = [output.format_table(made), output.format_summary(made), shown]
    for answer in [path.read_text("utf-8"), *answers, *annotations]:
        assert is_clean(answer)
    assert not any(map(obeys, [*answers, *(line.partition(" title=")[2] for line in annotations)]))


@given(text=texts)
def test_clean_text_is_no_command(text: str) -> None:
    """Cleaning leaves nothing that is obeyed, and what is clean stays as it is."""
    assert is_clean(clean_text(text))
    assert not obeys(clean_text(text))
    assert clean_text(clean_text(text)) == clean_text(text)
    assert clean_text("tests/test_x.py::test_row a : b # c") == "tests/test_x.py::test_row a : b # c"


def test_cleaned_names_keep_their_seeds_and_stay_apart(tmp_path: Path) -> None:
    """Two names that are alike when cleaned are two models, each with the seed that it was trained with."""
    store = Store(tmp_path)
    records = [train_record(name, 0, 0.9, 1.0) for name in ("a\u202e", "a\u200b")]
    store.add_done([(record, "f") for record in records])
    models = [*load_results(store).tasks["toy"].models.values()]
    assert [model.name for model in models] == ["a\ufffd", "a\ufffd"]
    assert [model.trainings[0].cell.seed for model in models] == [record.cell.seed for record in records]
