"""HTML format: one offline file that fetches nothing and escapes all names."""

from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_bench.units import parse_quantity
from dlmi_reports.front.legend import strip_letters
from dlmi_reports.front.methods import METHODS
from dlmi_reports.structure import Document


def write_html(document: Document, folder: Path) -> list[Path]:
    """Write report.html, which contains its style, script and plots."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("dlmi_reports.formats", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["sort_key"] = _format_key
    text = environment.get_template("report.html.j2").render(page=document.page, methods=METHODS)
    return [write_text(folder / "report.html", text)]


def _format_key(text: str) -> str:
    """Format the key by which a column is sorted; empty if the cell is a word."""
    value = parse_quantity(strip_letters(text))
    return "" if value is None else repr(value)
