"""The formats a report comes in: Markdown, one offline HTML file, CSV in long form."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

from bench.records import Figure, Record
from bench.units import escape_markdown
from reports.load import Results
from reports.page import make_page
from reports.tables import Table


def write_markdown(results: Results, folder: Path) -> list[Path]:
    """report.md, and the plots beside it."""
    page = make_page(results)
    parts, plots = [f"# {page.title}", *page.lead], []
    for section in page.sections:
        parts += [f"## {escape_markdown(section.title)}", *map(escape_markdown, section.lead)]
        if section.plot_svg:
            plot = folder / f"pareto-{section.name}.svg"
            plot.write_text(section.plot_svg, encoding="utf-8")
            plots.append(plot)
            parts.append(f"![{section.plot_alt}]({plot.name})")
        parts += [format_markdown(table) for table in section.tables]
        if section.notes:
            parts += ["### What the instruments say", "\n".join(f"- {escape_markdown(note)}" for note in section.notes)]
    parts += [format_markdown(page.environment)]
    if page.failures.rows:
        parts.append(format_markdown(page.failures))
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [path, *plots]


def format_markdown(table: Table) -> str:
    """A heading, the caption, a pipe table, the notes."""
    lines = [f"### {table.title}", "", escape_markdown(table.caption), ""]
    lines.append("| " + " | ".join(map(escape_markdown, table.header)) + " |")
    lines.append("|" + " --- |" * len(table.header))
    lines += ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in table.rows]
    lines += ["", *map(escape_markdown, table.notes)] if table.notes else []
    return "\n".join(lines)


def write_html(results: Results, folder: Path) -> list[Path]:
    """report.html: one file, nothing fetched, everything that comes from outside escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("reports", "."), autoescape=True, undefined=StrictUndefined)
    path = folder / "report.html"
    path.write_text(environment.get_template("report.html.j2").render(page=make_page(results)), encoding="utf-8")
    return [path]


COLUMNS = ("task", "model", "seed_index", "cell", *Figure.model_fields)


def write_csv(results: Results, folder: Path) -> list[Path]:
    """figures.csv: one row per figure, SI units, everything that the store holds."""
    path = folder / "figures.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for record in results.records:
            writer.writerows(_make_row(record, figure) for figure in record.figures)
    return [path]


def _make_row(record: Record, figure: Figure) -> dict[str, object]:
    cell = record.cell
    row: dict[str, object] = {"task": cell.task, "model": cell.model, "seed_index": cell.seed_index, "cell": cell.kind}
    for name, value in figure.model_dump(mode="json").items():
        row[name] = json.dumps(value) if isinstance(value, dict | list) else value
    return row


FORMATS: dict[str, Callable[[Results, Path], list[Path]]] = {
    "md": write_markdown,
    "html": write_html,
    "csv": write_csv,
}
