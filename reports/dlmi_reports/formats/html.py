"""HTML format: one offline file that fetches nothing and escapes all names."""

from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_bench.units import parse_quantity
from dlmi_reports.formats.folding import Fold, write_whole
from dlmi_reports.formats.svg import write_plot
from dlmi_reports.front.legend import strip_letters
from dlmi_reports.front.methods import METHODS
from dlmi_reports.structure import Document

MAX_BYTES = 2_000_000  # of a page, which a phone opens and a mail carries
# Rows of a table and plots of a task that a page shows, where more of them would make it larger than that.
FOLDS: tuple[tuple[int, int | None], ...] = ((100, None), (100, 1), (25, 1), (10, 0), (1, 0))


def write_html(document: Document, folder: Path) -> list[Path]:
    """Write report.html, which contains its style, script and plots; of a large one, what is folded beside it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("dlmi_reports.formats", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["sort_key"] = _format_key
    template, page = environment.get_template("report.html.j2"), document.page
    text, folds = template.render(page=page, methods=METHODS), iter(FOLDS)
    fold = Fold()
    while len(text.encode()) > MAX_BYTES and (size := next(folds, None)):
        fold = Fold(*size)
        text = template.render(page=fold.fold(page, document.whole), methods=METHODS)
    beside = {name: table for name, table in fold.whole.items() if name not in document.whole}
    plots = [write_plot(plot, folder) for plot in fold.plots]
    return [write_text(folder / "report.html", text), *write_whole(beside, folder), *plots]


def _format_key(text: str) -> str:
    """Format the key by which a column is sorted; empty if the cell is a word."""
    value = parse_quantity(strip_letters(text))
    return "" if value is None else repr(value)
