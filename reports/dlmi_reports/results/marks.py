"""Marks of instruments against their figures: a word beside the value, the whole note below."""

from dlmi_bench.records import Figure, Mark, Note, list_marks


def add_marks(text: str, *figures: Figure | None) -> str:
    """Text followed by the marks of all figures that it rests on."""
    return " ".join([text, *(f"({mark})" for mark in list_marks(*figures))])


def find_invalid(figure: Figure | None) -> Note | None:
    """Note that bars a figure from rankings and claims; None where there is none."""
    return next((note for note in figure.notes if note.mark is Mark.INVALID), None) if figure else None
