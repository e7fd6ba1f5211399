"""Remarks in the cells of a table, as small letters with a legend below, so that no words are repeated in cells."""

import re
from dataclasses import replace

from dlmi_bench.units import parse_quantity
from dlmi_reports.structure import Table

LETTERS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"
REMARK = re.compile(r" \(([^()]*)\)$")
SPOKEN = ("INVALID",)  # what nobody may overlook stays a word


def move_remarks(table: Table) -> Table:
    """Replace the remarks behind numbers by letters, and add the legend to the notes.

    A table with more remarks than there are letters stays as it is.
    """
    if not any(")" in cell for row in table.rows for cell in row):
        return table
    split = [[_split(cell) for cell in row] for row in table.rows]
    remarks = list(dict.fromkeys(remark for row in split for _, own in row for remark in own))
    if not remarks or len(remarks) > len(LETTERS):
        return table
    letters = dict(zip(remarks, LETTERS, strict=False))
    rows = [[_join(text, [letters[remark] for remark in own]) for text, own in row] for row in split]
    legend = "; ".join(f"{letter} {remark}" for remark, letter in letters.items())
    return replace(table, rows=rows, notes=[*table.notes, f"{legend}."])


def _split(cell: str) -> tuple[str, list[str]]:
    """Split a cell into its number and the remarks behind it; words and what stays a word are left alone."""
    if ")" not in cell or parse_quantity(cell) is None or any(word in cell for word in SPOKEN):
        return cell, []
    remarks: list[str] = []
    while found := REMARK.search(cell):
        remarks.insert(0, found[1])
        cell = cell[: found.start()]
    return cell, remarks


def _join(text: str, letters: list[str]) -> str:
    return f"{text} {''.join(letters)}" if letters else text


def strip_letters(text: str) -> str:
    """Return a cell without its letters."""
    return text.rstrip(LETTERS).rstrip()
