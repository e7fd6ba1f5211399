"""What instruments say against their figures: a word beside the value, the whole note below."""

from dlmi_bench.records import Figure

VOID = "INVALID"
MARKS = ("mixed", "noisy", "vacuous", VOID)  # notes that belong beside the figure itself; the others stand below


def list_marks(*figures: Figure | None) -> list[str]:
    """Of all the figures that a value rests on."""
    notes = [note for figure in figures if figure for note in figure.notes]
    return [mark for mark in MARKS if any(note.startswith(mark) for note in notes)]


def add_marks(text: str, *figures: Figure | None) -> str:
    return " ".join([text, *(f"({mark})" for mark in list_marks(*figures))])


def find_void(figure: Figure | None) -> str:
    """The note for which a figure may neither rank nor decide anything; empty where there is none."""
    return next((note for note in figure.notes if note.startswith(VOID)), "") if figure else ""
