"""The only place that knows "ms": SI figures into text, with the digits that their uncertainty supports."""

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

# Largest factor first: the first one that leaves at least 1 in front is taken.
SCALES: dict[str, list[tuple[float, str]]] = {
    "s": [(3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")],
    "j": [(3.6e6, "kWh"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ")],
    "bytes": [(2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")],
    "hz": [(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
    "macs": [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")],
}
FACTORS = {symbol: factor for scale in SCALES.values() for factor, symbol in scale}
MAX_DIGITS = 4
UNSEEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")  # Unicode categories
COMMAND = re.compile(r"(^\s*:(?=:)|##(?=\[))", re.MULTILINE)  # the first sign of one that GitHub's runner obeys
# A number with thin groups, bounds or a remark after it, and the word that follows: its unit where it is one.
QUANTITY = re.compile(r"([+-]?\d+(?: \d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)(?: \[[^\]]*\])?(?: ([A-Za-z]+)\b.*| \S.*|%)?")


def unit_of(name: str) -> str:
    """Unit of a figure: the last word of its name."""
    return name.rsplit("_", 1)[-1]


def compute_scale(value: float, unit: str) -> tuple[float, str]:
    """Factor and symbol that show `value` with at least one digit before the point."""
    scales = SCALES.get(unit, [(1.0, "")])
    for factor, symbol in scales:
        if abs(value) >= factor:
            return factor, symbol
    return scales[-1]


def format_number(value: float, spread: float | None = None) -> str:
    """`value` rounded at the first significant digit of `spread`; three significant digits where none is known.

    A spread that starts with 1 keeps one digit more (the rule of the Particle Data Group), and no figure shows more
    than MAX_DIGITS significant digits.
    """
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if spread:
        place = math.floor(math.log10(spread))
        place -= int(spread / 10.0**place) == 1
        place = max(place, magnitude - MAX_DIGITS + 1)
    else:
        place = magnitude - 2
    rounded = round(value, -place) + 0.0  # never "-0"
    return f"{rounded:.{max(0, -place)}f}"


def format_quantity(value: float, unit: str, spread: float | None = None) -> str:
    """Format a quantity, for instance 1.634e-05, "s", 3e-7 -> "16.3 us"."""
    factor, symbol = compute_scale(value, unit)
    number = format_number(value / factor, None if spread is None else spread / factor)
    return f"{number} {symbol}".rstrip()


def format_range(value: float, lo: float | None, hi: float | None, unit: str) -> str:
    """Value with its bounds in one unit, for instance "16.3 [16.1, 17.9] us"."""
    if lo is None or hi is None:
        return format_quantity(value, unit)
    factor, symbol = compute_scale(value, unit)
    spread = (hi - lo) / 2 / factor or None
    number, low, high = (format_number(x / factor, spread) for x in (value, lo, hi))
    return f"{number} [{low}, {high}] {symbol}".rstrip()


def format_count(value: float) -> str:
    """An exact count with thin groups: 18 858."""
    return f"{round(value):,}".replace(",", " ")


def format_left(seconds: float) -> str:
    """Write a rough duration, in hours, minutes or seconds."""
    if seconds > 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(seconds, 1):.0f} s"


def format_percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f}"


def format_share(fraction: float, digits: int = 0) -> str:
    """Fraction with its sign, for instance 0.95 -> "95 %"."""
    return f"{format_percent(fraction, digits)} %"


def clean_text(text: str) -> str:
    """Text without what turns, hides or ends the words around it, and without commands to a CI runner.

    Control characters, changes of writing direction and what XML forbids become U+FFFD. A runner takes `::` at the
    start of a line, and `##[` anywhere, for a command.
    """
    if not text.isprintable():
        text = "".join("\ufffd" if unicodedata.category(c) in UNSEEN and c not in "\t\n" else c for c in text)
    return COMMAND.sub(r"\1 ", text)


def clean_line(text: str) -> str:
    """Clean text in one line; tabs and line ends become spaces."""
    return clean_text(text).replace("\t", " ").replace("\n", " ")


def clean_all(value: Any, clean: Callable[[str], str] = clean_line) -> Any:
    """Copy of `value` with all its text cleaned: of dataclasses, mappings, lists and tuples at any depth, keys too."""
    if isinstance(value, str):
        return value if isinstance(value, Enum) else clean(value)
    if isinstance(value, dict):
        return {clean_all(key, clean): clean_all(part, clean) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(clean_all(part, clean) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: clean_all(getattr(value, f.name), clean) for f in fields(value)})
    return value


def escape_markdown(text: str) -> str:
    """Text stays text: no markup, no new cell, no new row, no link, no formula."""
    text = "".join(f"\\{c}" if c in "\\`*_<>|#~$" else c for c in " ".join(text.split()))
    return text.replace("&", "&amp;").replace("](", "]\\(")


def format_ratio(value: float, lo: float | None = None, hi: float | None = None) -> str:
    """A factor, for instance "0.351 [0.340, 0.362] x"."""
    if lo is None or hi is None or hi <= lo:
        return f"{format_number(value)} x"
    number, low, high = (format_number(x, (hi - lo) / 2) for x in (value, lo, hi))
    return f"{number} [{low}, {high}] x"


def parse_quantity(text: str) -> float | None:
    """The number that a cell of a table starts with, in SI units, to sort by; None where it is a word.

    The inverse of the functions above, to the digits that they show.
    """
    found = QUANTITY.fullmatch(text)
    if found is None:
        return None
    number, symbol = found.groups()
    return float(number.replace(" ", "")) * FACTORS.get(symbol or "", 1.0)
