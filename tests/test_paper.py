"""Checklists and a paragraph of methods: what the records hold, where the report has it, and what is the author's."""

import csv
import re

from dlmi_reports.paper.checklist import AUTHOR, find_place
from dlmi_reports.paper.facts import FACTS
from dlmi_reports.paper.items import CHECKLISTS
from dlmi_reports.structure import Page, Plot, Section, Table
from stand_ins import Command


def test_checklist_of_a_real_run(finished: Command) -> None:
    """At least 20 items of either list are filled, each linked to an anchor that the report has."""
    done = finished("export", "--format", "checklist", "--to", "paper")
    assert done.returncode == 0, done.stderr
    assert finished("report", "--format", "html").returncode == 0
    page = (finished.folder / "out" / "report" / "report.html").read_text(encoding="utf-8")
    with (finished.folder / "paper" / "checklist-usps.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, items in CHECKLISTS.items():
        own = [row for row in rows if row["checklist"] == name]
        assert [row["item"] for row in own] == [item.number for item in items]
        assert sum(row["answer"] != AUTHOR for row in own) >= 20
    for row in rows:
        assert (row["answer"] == AUTHOR) == (row["link"] == "")
        if row["link"]:
            assert f'id="{row["link"].partition("#")[2]}"' in page
    answers = {(row["checklist"], row["item"]): row["answer"] for row in rows}
    assert answers["CLAIM 2024", "2"] == AUTHOR
    assert "softmax 2 570" in answers["CLAIM 2024", "22"]
    assert re.search(r"softmax \d\d\.\d \[\d\d\.\d, \d\d\.\d\] %", answers["CLAIM 2024", "37"])
    said = (finished.folder / "paper" / "checklist-usps.md").read_text(encoding="utf-8")
    assert said.count("](../report/report.html#section-") >= 40


def test_methods_of_a_real_run(finished: Command) -> None:
    """One paragraph that says seeds, splits, intervals and versions."""
    assert finished("export", "--format", "methods-text", "--to", "paper").returncode == 0
    text = (finished.folder / "paper" / "methods-usps.txt").read_text(encoding="utf-8")
    assert text.count("\n") == 1
    for part in ("softmax (2)", "2 007 test examples", "Wilson 95 %", "Software: dlmi-bench"):
        assert part in text


def test_each_item_asks_for_a_fact_that_exists() -> None:
    """Facts are named by items, and none is never asked for; items of a list have numbers of their own."""
    named = {item.fact for items in CHECKLISTS.values() for item in items} - {""}
    assert named == set(FACTS)
    assert all(len({item.number for item in items}) == len(items) for items in CHECKLISTS.values())


def test_places_by_title() -> None:
    """The table of the task comes before another task's; what is not there leads to the task."""
    table, plot = Table("Scans", "", [], []), Plot("p", "P", "", "<svg/>")
    sections = [
        Section("usps", "usps", folded=[table]),
        Section("spect", "spect", folded=[Table("Tuning", "", [], []), table], plots=[plot]),
        Section("claims", "Claims"),
        Section("origin", "Origin", folded=[Table("All runs", "", [], [])]),
    ]
    page = Page("", [], sections)
    assert find_place(page, "spect", "Scans") == ("spect: Scans", "section-2-table-2")
    assert find_place(page, "spect", "Plots") == ("spect: plots", "section-2-plots")
    assert find_place(page, "spect", "Claims") == ("Claims", "section-3")
    assert find_place(page, "spect", "All runs") == ("Origin: All runs", "section-4-table-1")
    assert find_place(page, "spect", "no such") == find_place(page, "spect", "") == ("spect", "section-2")
