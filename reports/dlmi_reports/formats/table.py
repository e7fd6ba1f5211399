"""Tables of each task in files of their own: Markdown, LaTeX for a column of a paper, and CSV of the joined one."""

import csv
import io
from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_reports.formats.latex import escape_latex
from dlmi_reports.formats.markdown import format_markdown
from dlmi_reports.results.load import make_slug
from dlmi_reports.structure import Document, Section, Table


def write_tables(document: Document, folder: Path) -> list[Path]:
    """Write table-TASK.md, .csv and .tex for each task with models to compare, and the tables of its answers."""
    paths = []
    for section in document.page.sections:
        if section.glance:
            paths += _write(section, section.glance.table, document, folder)
        for table in section.folded:
            if table.is_for_paper:
                name = f"table-{make_slug(section.name)}-{make_slug(table.title.lower())}"
                texts = {".md": format_markdown(table) + "\n", ".tex": format_paper(table, name)}
                paths += [write_text(folder / f"{name}{suffix}", text) for suffix, text in texts.items()]
    return paths


def _write(section: Section, table: Table, document: Document, folder: Path) -> list[Path]:
    name = f"table-{make_slug(section.name)}"
    rows = [row for row in document.joined if row["task"] == section.name]
    texts = {".md": format_markdown(table) + "\n", ".csv": _format_csv(rows), ".tex": format_paper(table, name)}
    return [write_text(folder / f"{name}{suffix}", text) for suffix, text in texts.items()]


def _format_csv(rows: list[dict[str, object]]) -> str:
    """Format plain numbers in SI units, with bounds; empty where a figure is not available."""
    buffer = io.StringIO()
    header = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(buffer, list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def format_paper(table: Table, label: str) -> str:
    """Format a table for a portrait page, with caption and label; it needs the package booktabs."""
    lines = [r"\begin{table}", r"\centering\small", rf"\caption{{{escape_latex(f'{table.title}. {table.caption}')}}}"]
    lines += [
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * (len(table.header) - 1)}@{{}}}}",
        r"\toprule",
    ]
    lines += [_format_row(table.header), r"\midrule", *map(_format_row, table.rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _format_row(cells: list[str]) -> str:
    return " & ".join(map(escape_latex, cells)) + r" \\"
