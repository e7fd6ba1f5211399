"""Find the scans of a download: every image below a folder, whose it is, and what of the rest is something else."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.ppmi.headers import Header, read_header
from dlmi_tasks.spect.ppmi.identity import ImageFile, choose_files, identify, identify_listed
from dlmi_tasks.spect.ppmi.layout import MODALITY
from dlmi_tasks.spect.tables.records import ListedImage, Problem, Tables
from dlmi_tasks.spect.tables.values import IOFLUPANE, parse_tracer

NIFTI = (".nii", ".nii.gz")
SUFFIX = re.compile(r"\.(nii|nii\.gz|dcm|ima)$", re.IGNORECASE)
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


def gather(paths: list[Path], tables: Tables) -> Gathered:
    """Identify every image; where the user lists images, these and no others."""
    return _gather_listed(paths, tables.listed) if tables.listed else _gather_all(paths, tables)


def _gather_listed(paths: list[Path], listed: dict[Path, ListedImage]) -> Gathered:
    """Take what is listed; what is not, and what is listed and not there, is out."""
    by_name: dict[str, list[Path]] = {}
    for path in paths:
        by_name.setdefault(re.sub(SUFFIX, "", path.name), []).append(path)
    images: list[ImageFile] = []
    problems: list[Problem] = []
    taken: set[Path] = set()
    for named, entry in sorted(listed.items()):
        found = [named] if named in by_name.get(re.sub(SUFFIX, "", named.name), ()) else by_name.get(named.name, [])
        if len(found) != 1:
            problems.append(Problem(str(named), f"listed, and {len(found) or 'no'} images of this name are there"))
            continue
        taken.add(found[0])
        header = None if found[0].name.lower().endswith(NIFTI) else _read(found[0])
        image = header if isinstance(header, Problem) else identify_listed(found[0], header, entry)
        (problems if isinstance(image, Problem) else images).append(image)  # type: ignore[arg-type]
    problems += [
        Problem(str(path), "not in the table that lists images, or twice with different fields")
        for path in paths
        if path not in taken
    ]
    return Gathered(images, problems, 0, Counter())


def _gather_all(paths: list[Path], tables: Tables) -> Gathered:
    known = {image_id: row.subject for image_id, row in tables.images.items()}
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
        dicom = [path for path in files if not path.name.lower().endswith(NIFTI)]
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
