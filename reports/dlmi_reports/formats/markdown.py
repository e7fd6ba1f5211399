"""Markdown format for pull requests, and its short form for step summaries."""

from html import escape
from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_bench.units import escape_markdown
from dlmi_reports.plots.canvas import PAPER
from dlmi_reports.structure import Document, Page, Section, Table

# Tables of a summary; the others are in the report.
SUMMARISED = ("Accuracy", "Relative to", "Failed attempts")
MAX_OPEN = 50  # a table with more rows is folded


def write_markdown(document: Document, folder: Path) -> list[Path]:
    """Write report.md, and each plot to a file of its own."""
    page, plots = document.page, []
    parts = [f"# {page.title}", *map(escape_markdown, page.lead), _format_contents(page)]
    for number, section in enumerate(page.sections, 1):
        parts += [f'<a id="section-{number}"></a>', f"## {escape_markdown(section.title)}"]
        parts += map(escape_markdown, section.lead)
        for plot in section.plots:
            path = folder / f"{plot.name}.svg"
            plots.append(write_text(path, plot.svg.replace("<svg ", f'<svg style="background: {PAPER}" ', 1)))
            parts.append(f"![{escape_markdown(plot.alt)}]({path.name})")
        parts += [_fold(table) for table in section.tables]
        parts += _format_list("In words", section.details) + _format_list("What the instruments say", section.notes)
    return [write_text(folder / "report.md", "\n\n".join(parts) + "\n"), *plots]


def _format_contents(page: Page) -> str:
    titles = [escape_markdown(section.title).replace("[", "\\[") for section in page.sections]
    return "\n".join(f"- [{title}](#section-{number})" for number, title in enumerate(titles, 1))


def _fold(table: Table) -> str:
    """Format a table; fold it if it is long."""
    text = format_markdown(table)
    return text if len(table.rows) <= MAX_OPEN else _format_fold(f"{table.title}, {len(table.rows)} rows", text)


def _format_list(title: str, texts: list[str]) -> list[str]:
    return [_format_fold(title, "\n".join(f"- {escape_markdown(text)}" for text in texts))] if texts else []


def _format_fold(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n\n{text}\n\n</details>"


def format_markdown(table: Table) -> str:
    """Format heading, caption, a pipe table, and notes."""
    lines = [f"### {escape_markdown(table.title)}", "", escape_markdown(table.caption), ""]
    lines.append("| " + " | ".join(map(escape_markdown, table.header)) + " |")
    lines.append("|" + " --- |" * len(table.header))
    lines += ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in table.rows]
    lines += ["", *map(escape_markdown, table.notes)] if table.notes else []
    return "\n".join(lines)


def format_summary(page: Page) -> str:
    """Format the most important tables, for GITHUB_STEP_SUMMARY."""
    parts = [f"## {page.title}", *map(escape_markdown, page.lead)]
    for section in page.sections:
        tables = [table for table in section.tables if table.title.startswith(SUMMARISED)]
        if tables or _is_extra(section):
            parts += [f"## {escape_markdown(section.title)}", *map(escape_markdown, section.lead)]
            parts += [format_markdown(table) for table in (section.tables if _is_extra(section) else tables)]
    return "\n\n".join(parts) + "\n"


def _is_extra(section: Section) -> bool:
    """Select claims and comparisons: sections without plots, which are short and shown whole."""
    return not section.plots and section.name != "origin"
