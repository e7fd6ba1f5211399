"""The formats that a report comes in; all of them write down the same page."""

from collections.abc import Callable
from pathlib import Path

from reports.document import Document, write_json
from reports.html import write_html
from reports.latex import write_latex
from reports.longform import write_csv
from reports.markdown import write_markdown

FORMATS: dict[str, Callable[[Document, Path], list[Path]]] = {
    "md": write_markdown,
    "html": write_html,
    "csv": write_csv,
    "latex": write_latex,
    "json": write_json,
}
