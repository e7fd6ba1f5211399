"""The answer on a terminal: sentences, claims counted, and one small table for each task."""

from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.units import clean_all, clean_line
from dlmi_reports.front.answer import make_answer
from dlmi_reports.front.glance import make_joined_table
from dlmi_reports.page import judge
from dlmi_reports.results.load import load_results
from dlmi_reports.structure import Answer, Chip, Table
from dlmi_reports.tables.changes import make_change_table, summarise

if TYPE_CHECKING:
    from rich.console import Console

    from dlmi_bench.store import Store

STYLES = {"supported": "green", "refuted": "red", "equivalent": "cyan", "open": "yellow", "unmeasured": "dim"}
WIDTH = 80  # where there is no terminal


def print_answer(
    store: "Store", console: "Console", claims: Path | None = None, against: "Store | None" = None
) -> None:
    """Print what the results of a store say.

    Args:
        claims: File of claims; by default those of `choose_claims`.
        against: Another store, what has changed since which is said first.

    Raises:
        StoreError: no finished cell, or a damaged file.
        UsageError: the file of claims in its folder is wrong.
    """
    results = load_results(store)
    verdicts, _ = judge(results, claims)
    answer: Answer = clean_all(make_answer(verdicts, results))
    if against:
        label = clean_line(str(against.folder))
        answer.sentences[:0] = [summarise(make_change_table(results, load_results(against)), label)]
    print_parts(answer, [table for table in map(make_joined_table, results.tasks.values()) if table], console)


def print_parts(answer: Answer, tables: list[Table], console: "Console") -> None:
    """Print sentences, claims counted by family, and tables; plain where colours and lines are not wanted."""
    for sentence in answer.sentences:
        console.print(sentence, markup=False, highlight=False)
    for group in answer.groups:
        label = " (synthetic data)" if group.is_synthetic else ""
        console.print(f"{group.title}{label}", markup=False, highlight=False)
        console.print("  ", *_format_chips(group.chips), sep="  ", highlight=False)
    for table in tables:
        console.print(_draw(table, console.width))


def _format_chips(chips: list[Chip]) -> list[str]:
    return [f"[{STYLES[chip.state]}]{chip.sign} {chip.text}[/]" for chip in chips]


def _draw(table: Table, width: int) -> object:
    """Draw a table; without the bounds of some columns where they do not fit, the second one first."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as Drawn

    header, rows = [name.replace(" accuracy, %", " %") for name in table.header], table.rows
    for index in (1, *range(len(header) - 1, 1, -1)):
        if sum(max(map(len, column)) + 3 for column in zip(header, *rows, strict=True)) <= width:
            break
        rows = [[*row[:index], row[index].partition(" [")[0], *row[index + 1 :]] for row in rows]
    drawn = Drawn(title=escape(table.title), box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.title_justify = drawn.caption_justify = "left"
    for index, name in enumerate(header):
        drawn.add_column(escape(name), justify="right" if index else "left")
    for row in rows:
        drawn.add_row(*map(escape, row))
    drawn.caption = escape(" ".join([table.caption, *table.notes]))
    return drawn
