"""A comparison in the format that is asked for."""

import csv
import io
from collections.abc import Callable

from dlmi_bench.comparing.comparison import Comparison
from dlmi_bench.native.writing.project import SLOW
from dlmi_bench.records import Mark
from dlmi_reports.formats.latex import format_latex
from dlmi_reports.formats.markdown import format_markdown
from dlmi_reports.formats.text import format_text, wrap_lines
from dlmi_reports.structure import Table

FORMATS: dict[str, Callable[[Table], str]] = {"text": format_text, "md": format_markdown, "latex": format_latex}


def format_comparison(found: Comparison, format_: str = "text") -> str:
    """Format the tables, or all rows as CSV in SI units; why something is missing or doubtful stands below a text.

    Args:
        format_: text, md, latex or csv.
    """
    if format_ == "csv":
        return _format_csv(found)
    parts = [FORMATS[format_](table) for table in found.make_tables()]
    if format_ == "text":
        parts += [wrap_lines("Remarks", _list_remarks(found))]
    return "\n\n".join(filter(None, parts))


def _list_remarks(found: Comparison) -> list[str]:
    """List why figures are missing or INVALID, what is slow in C, and how many notes there are of other kinds."""
    said: dict[str, list[str]] = {}
    others: set[str] = set()
    for row in found.rows:
        grave = [note for note in row["notes"] if note.startswith((Mark.INVALID, Mark.VACUOUS, SLOW))]
        others |= {*row["notes"]} - {*grave}
        for text in (*row["reasons"], *grave):
            said.setdefault(text, []).append(row["model"])
    lines = [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in said.items()]
    return [*lines, f"{len(others)} more notes of the instruments: --json has them"] if others else lines


def _format_csv(found: Comparison) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*found.rows[0]], lineterminator="\n")
    writer.writeheader()
    for row in found.rows:
        writer.writerow({k: "; ".join(v) if isinstance(v, list) else v for k, v in row.items()})
    return buffer.getvalue().rstrip("\n")
