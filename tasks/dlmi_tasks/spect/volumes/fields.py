"""Numbers of a DICOM header, wherever it keeps them: at top level, with the detector, or in functional groups."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.files.limits import parse_number
from dlmi_tasks.spect.volumes.stored import REMEDY

if TYPE_CHECKING:
    from pydicom import Dataset

Rows = NDArray[np.float64]

# Sequence that holds a field within a functional group.
MACROS = {
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RealWorldValueSlope": "RealWorldValueMappingSequence",
    "RealWorldValueIntercept": "RealWorldValueMappingSequence",
}


def find_numbers(path: Path, dataset: "Dataset", field: str, n: int = 1) -> Rows:
    """Find the `n` numbers of a field: one row where they hold for all frames, one a frame, or none where not stated.

    Raises:
        DataError: it is no number, has another count, or is stated for some frames only.
    """
    for place in _list_places(dataset, field):
        if not _is_empty(place.get(field)):
            return np.array([_parse(path, place, field, n)])
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    found = [place for frame in frames for place in _open(frame, MACROS[field]) if not _is_empty(place.get(field))]
    if found and len(found) != dataset.get("NumberOfFrames"):
        cause = f"{path}: field {field} is stated for {len(found)} of {dataset.get('NumberOfFrames')} frames"
        raise DataError(cause, REMEDY)
    return np.array([_parse(path, place, field, n) for place in found]).reshape(-1, n)


def find_number(path: Path, dataset: "Dataset", field: str) -> float | None:
    """Find a number that holds for all frames; None where it is not stated."""
    rows = find_common(path, dataset, field)
    return None if rows is None else float(rows[0])


def find_common(path: Path, dataset: "Dataset", field: str, n: int = 1) -> Rows | None:
    """Find the `n` numbers of a field that cannot differ from frame to frame; None where it is not stated."""
    rows = find_numbers(path, dataset, field, n)
    if not len(rows):
        return None
    if not np.allclose(rows, rows[0], rtol=1e-3, atol=1e-3):
        raise DataError(f"{path}: field {field} differs from frame to frame", REMEDY)
    return np.asarray(rows[0])


def _list_places(dataset: "Dataset", field: str) -> Iterator["Dataset"]:
    yield dataset
    yield from _open(dataset, "DetectorInformationSequence")
    yield from _open(dataset, MACROS[field])
    for shared in _open(dataset, "SharedFunctionalGroupsSequence"):
        yield from _open(shared, MACROS[field])


def _open(dataset: "Dataset", sequence: str) -> list[Any]:
    """First item of a sequence; detectors of one reconstruction share their orientation."""
    return list(dataset.get(sequence) or [])[:1]


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (not isinstance(value, str | float | int) and len(value) == 0)


def _parse(path: Path, place: "Dataset", field: str, n: int) -> list[float]:
    value = place[field].value
    words = [str(word).strip() for word in ([value] if place[field].VM == 1 else value)]
    try:
        numbers = [parse_number(word) for word in words]
    except ValueError:
        raise DataError(f"{path}: field {field} is {', '.join(words)[:80]!r}, not a number", REMEDY) from None
    if len(numbers) != n:
        raise DataError(f"{path}: field {field} has {len(numbers)} numbers, expected {n}", REMEDY)
    return numbers
