"""A table as text of 80 columns, for a terminal."""

from collections.abc import Sequence
from textwrap import wrap

from dlmi_bench.units import clean_line
from dlmi_reports.structure import Table

WIDTH = 80


def format_text(table: Table) -> str:
    """Format title, aligned columns and caption; a first column that is too long is cut in its middle."""
    lines = [[clean_line(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    room = max(8, WIDTH - sum(widths[1:]) - 2 * len(widths[1:]))
    widths[0] = min(widths[0], room)
    shown = [[_shorten(first, widths[0]), *rest] for first, *rest in lines]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return "\n".join([table.title, *rows, *_indent(table.caption, *table.notes)])


def wrap_lines(title: str, texts: Sequence[str]) -> str:
    """Format texts under a title, an indented paragraph each; empty where there are none."""
    return "\n".join([title, *_indent(*texts)]) if texts else ""


def _indent(*texts: str) -> list[str]:
    return [
        line
        for text in map(clean_line, texts)
        for line in wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]


def _shorten(text: str, width: int) -> str:
    """Keep both ends: names of files differ at either."""
    left = (width - 2) // 2
    return text if len(text) <= width else f"{text[:left]}..{text[len(text) - (width - 2 - left) :]}"
