"""True classes of the cases, and the order of all classes that occur."""

from collections.abc import Sequence

from dlmi_bench.errors import DataError, UsageError
from dlmi_reports.answers.cells import read_labels, show
from dlmi_reports.answers.columns import NAMES_OF_CLASSES, Part
from dlmi_reports.answers.scores import list_answered

MAX_CLASSES = 1000


def read_truth(parts: Sequence[Part], column: str) -> dict[str, str]:
    """Read the true class of each case; tables that tell it must agree."""
    truth: dict[str, str] = {}
    having = [part for part in parts if column in part.table.columns]
    if not having:
        remedy = f"add the true class of each case as {column!r}, or name its column with --truth"
        raise UsageError(f"{parts[0].table.source}: no column {column!r}", remedy)
    for table, _, case_ids in having:
        for row, (case, label) in enumerate(zip(case_ids, read_labels(table, column), strict=True)):
            if not label:
                raise DataError(f"{table.locate(row, column)}: empty", "fill it in, or drop the row")
            if truth.setdefault(case, label) != label:
                cause = f"{table.locate(row, column)}: {show(label)} for case {show(case)}"
                raise DataError(f"{cause}, {show(truth[case])} in another table", "correct one of the two")
    return truth


def order_classes(parts: Sequence[Part], names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Order all classes that occur, with notes on them.

    They stand as the tables name them, else by number or by letter.

    Args:
        names: Classes of the truth.
    """
    answered = [
        label
        for part in parts
        for columns in part.columns.algorithms.values()
        for label in list_answered(part.table, columns, names)
    ]
    stated = _read_names(parts, names)
    found = list(dict.fromkeys((*stated, *names, *answered)))
    if len(found) > MAX_CLASSES:
        cause = f"{parts[0].table.source}: {len(found)} classes"
        raise DataError(cause, f"at most {MAX_CLASSES} are judged; is the truth a class, or a number?")
    is_numeric = all(name.lstrip("+-").isdecimal() for name in found)
    ordered = found if stated else sorted(found, key=lambda name: (int(name) if is_numeric else 0, name))
    extra = [name for name in ordered if name not in names]
    notes = [f"No case is of the class {', '.join(map(show, extra[:10]))}; who answers it is wrong."] if extra else []
    if len(names) == 1:
        notes.append(f"All cases are of one class, {show(names[0])}: the accuracy is the recall of that class alone.")
    return tuple(ordered), notes


def name_classes(parts: Sequence[Part], classes: tuple[str, ...]) -> tuple[str, ...]:
    """Name classes that are numbers as a table does, otherwise leave them."""
    stated = next(
        (part.table.columns[NAMES_OF_CLASSES] for part in parts if NAMES_OF_CLASSES in part.table.columns), ()
    )
    is_numbered = classes == tuple(map(str, range(len(stated))))
    return tuple(map(str, stated)) if is_numbered and len(stated) else classes


def _read_names(parts: Sequence[Part], names: Sequence[str]) -> list[str]:
    """Read the names that a table gives the classes; their numbers where the truth is written in those."""
    table = next((part.table for part in parts if NAMES_OF_CLASSES in part.table.columns), None)
    if table is None:
        return []
    stated = list(map(str, table.columns[NAMES_OF_CLASSES]))
    if len(set(stated)) < len(stated):
        raise DataError(f"{table.source}: class_names holds a name twice", "give each class a name of its own")
    unknown = [name for name in names if name not in stated]
    if unknown and not all(name.isdecimal() and int(name) < len(stated) for name in names):
        cause = f"{table.source}: class_names lacks {show(unknown[0])}"
        raise DataError(cause, "name every class that occurs in the truth")
    return [str(i) for i in range(len(stated))] if unknown else stated
