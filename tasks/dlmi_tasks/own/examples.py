"""Examples whose labels are known and whose images are yet to be read, checked field by field."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.spec import Groups, Images, Labels

MAX_EXAMPLES, MIN_CLASSES, MAX_CLASSES = 10_000_000, 2, 1000
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MISSING = ("", "nan", "None", "NaT", "<NA>")


@dataclass(frozen=True)
class Examples:
    """Examples of a task, in the order in which they were handed over.

    Attributes:
        where: Origin, in the words of messages: a path, or "arrays".
        source: Origin, in the words of the report.
        note: What the images are, in a sentence for the report.
        shape: Of one image, (channel, height, width) or (channel, depth, height, width).
        labels: Classes, (n,).
        read: Reads all images, (n, *shape), float32; takes on_progress. None where they are not read at once.
        groups: Whose they are, (n,).
        sites: Where they were taken, (n,).
        split: train, validation or test, (n,).
        files: Names of the files they come from, as far as a report lists them.
    """

    where: str
    source: str
    note: str
    shape: tuple[int, ...]
    labels: Labels
    class_names: tuple[str, ...]
    read: Callable[[Progress | None], Images] | None = None
    groups: Groups | None = None
    sites: Groups | None = None
    split: Groups | None = None
    files: tuple[str, ...] = ()


def to_array(where: str, field: str, values: ArrayLike) -> NDArray[Any]:
    """Values as an array; DataError where they are of several sizes, or on a GPU."""
    with parsing(f"{where}: {field} are no array", f"hand over one array of {field} in main memory, all of one size"):
        return np.asarray(values)


def check_labels(where: str, labels: ArrayLike, n: int) -> Labels:
    """Whole numbers from 0, one for each of `n` images.

    Raises:
        DataError: names the first that is none.
    """
    found = to_array(where, "labels", labels)
    if found.dtype.kind in "OSU":
        remedy = "number the classes from 0: labels = np.unique(words, return_inverse=True)[1]"
        raise DataError(f"{where}: labels are {_name_kind(found)} such as {_show_first(found)}", remedy)
    if found.dtype.kind not in "iub":
        cause = f"{where}: labels are {found.dtype}, not whole numbers"
        raise DataError(cause, "convert them with .astype(int), if they are classes 0, 1, 2 ...")
    if found.ndim != 1:
        remedy = f"use one class for each image, shape ({n},): .argmax(1) makes it of one-hot labels"
        raise DataError(f"{where}: labels have shape {found.shape}", remedy)
    check_length(where, "labels", len(found), n)
    if len(found) and found.min() < 0:
        row = int(np.argmax(found < 0))
        raise DataError(f"{where}: labels, row {row}: {found[row]} is negative", "number the classes from 0")
    return found.astype(np.int64)


def _name_kind(array: NDArray[Any]) -> str:
    return "objects" if array.dtype.kind == "O" else "words"


def _show_first(array: NDArray[Any]) -> str:
    return repr(array.flat[0])[:80] if array.size else "none"


def check_length(where: str, field: str, found: int, n: int) -> None:
    """Raises DataError where a field has not one row for each image."""
    if found != n:
        raise DataError(f"{where}: {n} images and {found} {field}", f"hand over one row of {field} for each image")


def name_classes(where: str, labels: Labels, class_names: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the classes, once each has an example.

    Raises:
        DataError: a class is empty or has no name, or there are too few or too many.
    """
    if not 0 < len(labels) <= MAX_EXAMPLES:
        raise DataError(f"{where}: {len(labels)} examples", f"hand over 1 to {MAX_EXAMPLES}")
    lowest, highest = int(labels.min()), int(labels.max())
    n_classes = highest + 1 if class_names is None else len(class_names)
    if lowest > 0 and (class_names is None or highest == n_classes):
        raise DataError(f"{where}: labels start at {lowest}", f"number the classes from 0: labels - {lowest}")
    if highest >= n_classes:
        row = int(labels.argmax())
        cause = f"{where}: labels, row {row}: class {highest}, but there are {n_classes} class_names"
        raise DataError(cause, "name every class, or correct the label")
    if not MIN_CLASSES <= n_classes <= MAX_CLASSES:
        cause = f"{where}: {n_classes} class" + ("es" if n_classes > 1 else "")
        raise DataError(cause, f"use {MIN_CLASSES} to {MAX_CLASSES} classes")
    names = tuple(map(str, range(n_classes) if class_names is None else class_names))
    if len(set(names)) < len(names):
        raise DataError(f"{where}: two classes have the same name", "give each a name of its own in class_names")
    check_present(where, labels, names)
    return names


def check_present(where: str, labels: Labels, class_names: tuple[str, ...]) -> None:
    """Raises DataError where a class has no example."""
    empty = np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0)
    if len(empty):
        cause = f"{where}: class {empty[0]} ({class_names[empty[0]]!r}) has no example"
        raise DataError(cause, "add examples of it, or drop the class and number the others without a gap")


def encode_words(
    where: str, words: Sequence[str], class_names: Sequence[str] | None, lines: Sequence[int] = ()
) -> tuple[Labels, tuple[str, ...]]:
    """Labels of words, and the classes: those that are named, else the sorted words, whole numbers by their value.

    Raises:
        DataError: a word is no class.
    """
    found = sorted(set(words), key=lambda word: (int(word), word) if _is_number(word) else (0, word))
    if class_names is not None and not set(found) <= set(class_names) and all(map(_is_number, found)):
        return np.array([int(word) for word in words], dtype=np.int64), tuple(class_names)
    names = tuple(found if class_names is None else class_names)
    unknown = next((row for row, word in enumerate(words) if word not in names), None)
    if unknown is not None:
        cause = f"{where}, {name_row(unknown, lines)}: {words[unknown][:80]!r} is not among class_names"
        raise DataError(cause, f"add it to class_names ({', '.join(names[:10])}), or correct it")
    labels = {name: label for label, name in enumerate(names)}
    return np.array([labels[word] for word in words], dtype=np.int64), names


def name_row(row: int, lines: Sequence[int]) -> str:
    """Place of an example: its line in a table, else its row, counted from 0."""
    return f"line {lines[row]}" if lines else f"row {row}"


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10


def check_words(where: str, field: str, values: ArrayLike | None, n: int, lines: Sequence[int] = ()) -> Groups | None:
    """Groups or sites as text, none of them missing.

    Raises:
        DataError: names the first row that is.
    """
    if values is None:
        return None
    found = to_array(where, field, values)
    if found.ndim != 1:
        raise DataError(f"{where}: {field} have shape {found.shape}", f"hand over one for each image, shape ({n},)")
    check_length(where, field, len(found), n)
    words = found.astype(str)
    missing = np.flatnonzero(np.isin(words, MISSING))
    if len(missing):
        cause = f"{where}: {field}, {name_row(missing[0], lines)}: {str(words[missing[0]])!r} is missing"
        raise DataError(cause, f"say whose it is, or drop {field}; unknown ones would count as one")
    return words


def check_split(where: str, split: ArrayLike | None, n: int, lines: Sequence[int] = ()) -> Groups | None:
    """Split of each image as one of train, validation and test.

    Raises:
        DataError: a word is another, or nothing is left to train on or to test.
    """
    words = check_words(where, "split", split, n, lines)
    if words is None:
        return None
    known = np.array([SPLIT_WORDS.get(word.lower(), "") for word in words.tolist()])
    unknown = np.flatnonzero(known == "")
    if len(unknown):
        cause = f"{where}: split, {name_row(unknown[0], lines)}: {str(words[unknown[0]])!r:.80}"
        raise DataError(cause, "use the words train, validation and test")
    for part in ("train", "test"):
        if part not in known:
            raise DataError(
                f"{where}: no image is in the split {part!r}", "assign some, or drop split to let us draw it"
            )
    return known
