"""Markdown that fits a pull request, and the short form of it for a step summary."""

from pathlib import Path

from bench.units import escape_markdown
from reports.document import Document
from reports.page import Page, Section
from reports.tables import Table

# What a reader of a summary needs first; the rest is in the report.
SUMMARISED = ("Accuracy", "Relative to", "Failed attempts")


def write_markdown(document: Document, folder: Path) -> list[Path]:
    """report.md, and the plots beside it."""
    page = document.page
    parts, plots = [f"# {page.title}", *map(escape_markdown, page.lead)], []
    for section in page.sections:
        parts += [f"## {escape_markdown(section.title)}", *map(escape_markdown, section.lead)]
        for plot in section.plots:
            path = folder / f"{plot.name}.svg"
            path.write_text(plot.svg, encoding="utf-8")
            plots.append(path)
            parts.append(f"![{escape_markdown(plot.alt)}]({path.name})")
        parts += [format_markdown(table) for table in section.tables]
        if section.details:
            items = "\n".join(f"- {escape_markdown(text)}" for text in section.details)
            parts.append(f"<details><summary>In words</summary>\n\n{items}\n\n</details>")
        if section.notes:
            parts += ["### What the instruments say", "\n".join(f"- {escape_markdown(note)}" for note in section.notes)]
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [path, *plots]


def format_markdown(table: Table) -> str:
    """A heading, the caption, a pipe table, the notes."""
    lines = [f"### {escape_markdown(table.title)}", "", escape_markdown(table.caption), ""]
    lines.append("| " + " | ".join(map(escape_markdown, table.header)) + " |")
    lines.append("|" + " --- |" * len(table.header))
    lines += ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in table.rows]
    lines += ["", *map(escape_markdown, table.notes)] if table.notes else []
    return "\n".join(lines)


def format_summary(page: Page) -> str:
    """The tables that decide, for GITHUB_STEP_SUMMARY."""
    parts = [f"## {page.title}", *map(escape_markdown, page.lead)]
    for section in page.sections:
        tables = [table for table in section.tables if table.title.startswith(SUMMARISED)]
        if tables or _is_extra(section):
            parts += [f"## {escape_markdown(section.title)}", *map(escape_markdown, section.lead)]
            parts += [format_markdown(table) for table in (section.tables if _is_extra(section) else tables)]
    return "\n\n".join(parts) + "\n"


def _is_extra(section: Section) -> bool:
    """Claims and comparisons, which have no plots of their own, are short and shown whole."""
    return not section.plots and section.name != "origin"
