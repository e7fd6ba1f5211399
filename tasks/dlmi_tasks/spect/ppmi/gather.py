"""Find the scans of a download: every image below a folder, whose it is, and what of the rest is something else."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.ppmi.headers import Header, read_header
from dlmi_tasks.spect.ppmi.identity import ImageFile, choose_files, identify
from dlmi_tasks.spect.ppmi.layout import MODALITY
from dlmi_tasks.spect.tables.records import Problem
from dlmi_tasks.spect.tables.values import IOFLUPANE, parse_tracer

MANY = 12  # DICOM files in one folder: slices of one series, of which two headers are read


@dataclass(frozen=True)
class Gathered:
    """Scans, one file each, and what was left out.

    Attributes:
        n_copies: Files that hold a scan once more, such as what was converted from its DICOM.
        elsewhere: Number of files by modality that is not ours.
    """

    images: list[ImageFile]
    problems: list[Problem]
    n_copies: int
    elsewhere: Counter[str]


def gather(paths: list[Path], known: dict[str, str]) -> Gathered:
    """Identify every image.

    Args:
        paths: Images, sorted.
        known: Subjects by image id, from tables.
    """
    found: list[ImageFile] = []
    problems: list[Problem] = []
    elsewhere: Counter[str] = Counter()
    for path, header in _read_headers(paths):
        if isinstance(header, Problem):
            problems.append(header)
        elif header and header.modality not in ("", MODALITY):
            elsewhere[header.modality] += 1
        elif header and parse_tracer(header.tracer) != IOFLUPANE:
            problems.append(Problem(str(path), f"another tracer, {header.tracer}: not DaTSCAN"))
        else:
            image = identify(path, header, known)
            (problems if isinstance(image, Problem) else found).append(image)  # type: ignore[arg-type]
    images, disputed, n_copies = choose_files(found)
    return Gathered(images, problems + disputed, n_copies, elsewhere)


def _read_headers(paths: list[Path]) -> Iterator[tuple[Path, Header | Problem | None]]:
    """Read the header of each DICOM file; of a folder with many slices of another modality only two are read."""
    for _, group in groupby(paths, key=lambda path: path.parent):
        files = list(group)
        dicom = [path for path in files if not path.name.lower().endswith((".nii", ".nii.gz"))]
        ends = [_read(path) for path in (dicom[0], dicom[-1])] if len(dicom) > MANY else []
        is_elsewhere = (
            len({h.modality for h in ends if isinstance(h, Header)} - {"", MODALITY})
            == 1
            == len({h.modality if isinstance(h, Header) else "" for h in ends})
        )
        for path in files:
            if path not in dicom:
                yield path, None
            else:
                yield path, ends[0] if is_elsewhere else _read(path)


def _read(path: Path) -> Header | Problem:
    try:
        return read_header(path)
    except DataError as error:
        return Problem(str(path), error.cause.removeprefix(f"{path}: "))
