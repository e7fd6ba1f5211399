"""The formats that a report comes in; all of them write down the same page."""

from collections.abc import Callable
from pathlib import Path

from dlmi_reports.document import Document, write_json
from dlmi_reports.html import write_html
from dlmi_reports.latex import write_latex
from dlmi_reports.longform import write_csv
from dlmi_reports.markdown import write_markdown

FORMATS: dict[str, Callable[[Document, Path], list[Path]]] = {
    "md": write_markdown,
    "html": write_html,
    "csv": write_csv,
    "latex": write_latex,
    "json": write_json,
}
