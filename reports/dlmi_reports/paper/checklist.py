"""Checklists for a paper, filled from the records: one file a task, as Markdown and CSV."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_bench.units import escape_markdown
from dlmi_reports.formats.longform import to_cell
from dlmi_reports.page import judge, make_page
from dlmi_reports.paper.facts import FACTS, Fact, Source
from dlmi_reports.paper.items import CHECKLISTS, Item
from dlmi_reports.results.load import Results, make_slug
from dlmi_reports.structure import Page

AUTHOR = "the author's"
HEADER = ("checklist", "item", "asks", "answer", "where", "link")
CAPTION = (
    "Answers are taken from the records of the runs; read each before it is used. What the records do not hold is "
    "the author's. Links lead into the report, where it is written beside this folder (`dlmi-bench report`)."
)
Row = tuple[str, str, str, str, str, str]


def write_checklists(results: Results, folder: Path) -> list[Path]:
    """Write checklist-TASK.md and checklist-TASK.csv for every task that is no arm of another."""
    page, (verdicts, _) = make_page(results), judge(results, None)
    paths = []
    for task in results.tasks.values():
        if not any(section.name == task.name for section in page.sections):
            continue
        source = Source(task, results, verdicts)
        answers = {name: tell(source) for name, tell in FACTS.items()}
        rows = [fill(name, item, answers, page, task.name) for name, items in CHECKLISTS.items() for item in items]
        stem = folder / f"checklist-{make_slug(task.name)}"
        paths.append(write_text(stem.with_suffix(".md"), format_checklists(task.name, rows)))
        paths.append(write_text(stem.with_suffix(".csv"), format_csv(rows)))
    return paths


def fill(checklist: str, item: Item, answers: dict[str, Fact | None], page: Page, task: str) -> Row:
    """Fill one item; without an answer it is the author's."""
    fact = answers.get(item.fact)
    if fact is None:
        return checklist, item.number, item.asks, AUTHOR, "", ""
    where, anchor = find_place(page, task, fact.where)
    return checklist, item.number, item.asks, fact.text, where, f"../report/report.html#{anchor}"


def find_place(page: Page, task: str, title: str) -> tuple[str, str]:
    """Find a table or section of the report by its title: its words, and its anchor in the HTML.

    What is not there leads to the task.
    """
    places = list(_list_places(page, task))
    home = next((place for place in places if place[0] == task), (task, task, ""))
    return next((place[1:] for place in places if place[0] == title), home[1:])


def _list_places(page: Page, task: str) -> Iterator[tuple[str, str, str]]:
    """List titles with words and anchor: the task and its tables and plots, tables of origin, and other sections."""
    for number, section in enumerate(page.sections, 1):
        anchor = f"section-{number}"
        yield (task if section.name == task else section.title), section.title, anchor
        if section.name not in (task, "origin"):
            continue
        for table in section.tables:
            yield table.title, f"{section.title}: {table.title}", anchor
        for place, table in enumerate(section.folded, 1):
            yield table.title, f"{section.title}: {table.title}", f"{anchor}-table-{place}"
        if section.plots:
            yield "Plots", f"{section.title}: plots", f"{anchor}-plots"


def format_checklists(task: str, rows: list[Row]) -> str:
    """Format one table for each checklist, with how many of its items are answered."""
    parts = [f"# Checklists: {escape_markdown(task)}", CAPTION]
    for name in CHECKLISTS:
        own = [row for row in rows if row[0] == name]
        n_filled = sum(row[3] != AUTHOR for row in own)
        lines = ["| item | asks | answer | where |", "| --- | --- | --- | --- |"]
        for _, number, asks, answer, where, link in own:
            place = f"[{escape_markdown(where)}]({link})" if link else ""
            lines.append(f"| {number} | {escape_markdown(asks)} | {escape_markdown(answer)} | {place} |")
        parts += [f"## {name}: {n_filled} of {len(own)} items from the records", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def format_csv(rows: list[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([HEADER, *([to_cell(cell) for cell in row] for row in rows)])
    return buffer.getvalue()
