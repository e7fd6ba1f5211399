"""Canvas of plots: reproducible SVG whose labels are text, with tooltips.

Series differ in marker, line style and colour. Ink and paper are CSS variables with defaults, so that a page can swap
them in dark mode.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

from dlmi_reports.structure import Plot

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

INK, PAPER, QUIET = "#1b1b1b", "#fffffe", "#8a8a8a"
# Contrast at least 3:1 on white and near-black, and distinguishable when colour-blind (after Okabe and Ito).
COLORS = ("#0072b2", "#c95700", "#009068", "#b0569a", "#7d7a00", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
SALT = "dlmi-bench"  # makes the identifiers in the SVG reproducible
NAME_LENGTH = 28
WIDTH = 5.4  # of a figure on a page [inch]
PRINT_WIDTH, PRINT_SIZE, PRINT_DPI = 3.4, 7, 300  # of one column of a paper [inch, points, dots an inch]
TITLE_LETTERS = 130  # an inch of a title, times the size of its letters
NO_DATE: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
HALO = f"paint-order: stroke; stroke: {PAPER}; stroke-width: 2.5px; stroke-linejoin: round; "
OUTLINE = re.compile(r' d="[^"]*"')  # hundredths of a point are finer than any screen
SETTINGS: Any = {  # matplotlib's type of it is a union of every key there is
    "svg.hashsalt": SALT,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial"],
    "font.size": 10,
    "text.parse_math": False,  # a model called $x$ is called $x$
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.3,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": QUIET,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclass
class Print:
    """Files that each figure is also written to, at the size of a column of a paper."""

    kinds: tuple[str, ...]
    folder: Path
    written: list[Path] = field(default_factory=list)

    def save(self, name: str, figure: "Figure") -> None:
        for kind in self.kinds:
            path = self.folder / f"{name}.{kind}"
            figure.savefig(path, format=kind, dpi=PRINT_DPI, metadata=None if kind == "png" else NO_DATE[kind])
            self.written.append(path)


_print: ContextVar[Print | None] = ContextVar("print", default=None)


@contextmanager
def printing(asked: Print) -> Iterator[Print]:
    """Draw for print within the block."""
    token = _print.set(asked)
    try:
        yield asked
    finally:
        _print.reset(token)


class Canvas:
    """One figure to draw on, which is then read as SVG."""

    def __init__(self, name: str, title: str, figure: "Figure") -> None:
        self.name = name
        self.title = title
        self.figure = figure
        self.axis: Axes = figure.axes[0]
        self._hovers: list[str] = []
        self._n_halos = 0
        self.svg = ""

    def hover(self, artist: "Artist", text: str) -> None:
        """Show `text` when the pointer is over the artist."""
        artist.set_gid(f"hover-{len(self._hovers)}")
        self._hovers.append(text)

    def halo(self, text: "Text") -> None:
        """Draw a halo around a label; matplotlib's own would turn the letters into outlines."""
        text.set_gid(f"halo-{self._n_halos}")
        self._n_halos += 1

    def finish(self) -> None:
        if asked := _print.get():
            asked.save(self.name, self.figure)
        buffer = io.StringIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
        svg = buffer.getvalue()
        svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        for index, text in enumerate(self._hovers):
            opening = f'<g id="hover-{index}">'
            svg = svg.replace(opening, f"{opening}<title>{escape(text)}</title>")
        svg = re.sub(r'(<g id="halo-\d+">\s*<text style=")', rf"\g<1>{HALO}", svg)
        svg = OUTLINE.sub(lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)
        # Several plots share a page, so their identifiers must differ.
        svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{_to_identifier(self.name)}-", svg)
        self.svg = svg.replace(INK, f"var(--ink, {INK})").replace(PAPER, f"var(--paper, {PAPER})")

    def to_plot(self, alt: str, label: str = "") -> Plot:
        return Plot(self.name, self.title, alt, self.svg, label)


@contextmanager
def canvas(name: str, title: str, *, n_rows: int = 1, n_columns: int = 1, height: float = 4.0) -> Iterator[Canvas]:
    """Make a figure as wide as a phone's screen or half a page; its SVG is complete after the block."""
    import warnings

    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    width, size = (PRINT_WIDTH, PRINT_SIZE) if _print.get() else (WIDTH, SETTINGS["font.size"])
    settings = SETTINGS | {"font.size": size, "legend.fontsize": min(size, SETTINGS["legend.fontsize"])}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Names may be in any script: the reader's fonts draw them, even if glyphs are missing here.
        warnings.filterwarnings("ignore", message="(?s)(Glyph .* missing|Matplotlib currently does not support)")
        figure, _ = plt.subplots(n_rows, n_columns, figsize=(width, height * width / WIDTH), squeeze=False)
        try:
            drawing = Canvas(name, title, figure)
            yield drawing
            figure.suptitle("\n".join(wrap(title, int(TITLE_LETTERS * width / size))), fontsize=size)
            figure.tight_layout()
            drawing.finish()
        finally:
            plt.close(figure)


def get_size() -> float:
    """Size of the letters that are drawn now [points]."""
    import matplotlib as mpl

    return float(mpl.rcParams["font.size"])


def shorten(name: str) -> str:
    """Shorten a name to fit into a plot."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..."


class Style(NamedTuple):
    """Colour, marker and line style of a series."""

    color: str
    marker: str
    line: str


def get_style(index: int) -> Style:
    """Get the style of a series: no two of the first 84 are the same."""
    return Style(*(choices[index % len(choices)] for choices in (COLORS, MARKERS, LINES)))


def _to_identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name)
