"""Whose scan a file is: from its path, its name and its header, which have to agree.

Layouts that are known, with any folders above:
  <subject>/<description>/<date>/I<image>/*.dcm|.nii      current
  <subject>/<description>/<date>/S<series>/.._I<image>.*  older
  <subject>_I<image>.nii.gz, in folders SC, V04, .. or flat
  sub-PPMI<subject>/ses-BL/spect/*                        BIDS
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from dlmi_tasks.spect.ppmi.headers import Header
from dlmi_tasks.spect.ppmi.layout import EXPECTED
from dlmi_tasks.spect.tables.records import ListedImage, Problem
from dlmi_tasks.spect.tables.visits import find_event

MOMENT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(_\d{2}_\d{2}_\d{2}(\.\d+)?)?", re.ASCII)
IMAGE_FOLDER = re.compile(r"I(\d+)", re.ASCII)
IMAGE_NAME = re.compile(r"(?:^|_)I(\d+)(?=[._])", re.ASCII)
SUBJECT = re.compile(r"\d{3,}", re.ASCII)
SUBJECT_NAMES = (
    re.compile(r"^(?:[A-Za-z]{0,5})PPMI_(\d+)_", re.ASCII),
    re.compile(r"^(\d{3,})_I\d+[._]", re.ASCII),
    re.compile(r"^sub-(?:PPMI)?(\d+)(?:_|$)", re.ASCII),
)
SESSION = re.compile(r"^ses-(\w+)$|^(SC|BL|ST|PW|RS1|RS2|U\d\d|V\d\d|R\d\d)$", re.ASCII)
MASKED_YEAR = 9999  # what the archive writes in place of some dates
STAMP = re.compile(r"_(\d{4})(\d{2})(\d{2})\d{6}", re.ASCII)
UNKNOWN = (
    "nothing in its path says that it is a DaT-SPECT scan (DaTSCAN, spect, I<image>): list it with its subject in "
    "images.csv (path, subject, label)"
)
PROJECTIONS = "raw projections: take the collection Reconstructed DaTSCAN, or reconstruct them first"
OURS = re.compile(r"datscan|dat-?spect|[/\\]spect[/\\]", re.IGNORECASE)


@dataclass(frozen=True)
class ImageFile:
    """One scan and what is known of it before its voxels are read. `image_id` has no leading I; empty if there is none.

    Attributes:
        day: Date of the scan, where its path, name or header tells.
        session: Code of the visit, where its path tells.
        listed: Entry of the user's listing, which decides whose it is.
    """

    path: Path
    subject: str
    image_id: str
    day: date | None
    session: str = ""
    header: Header = field(default_factory=Header)
    listed: ListedImage | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What two files of one scan share."""
        return (self.image_id,) if self.image_id else (self.subject, self.session or str(self.day))


def identify(path: Path, header: Header | None, known: dict[str, str]) -> ImageFile | Problem:
    """Say whose scan a file is, or why nobody can say.

    Args:
        header: Of a DICOM file; None for NIfTI.
        known: Subjects by image id, from tables.
    """
    parts = re.split(r"[\\/]", str(path.absolute()))
    image_id = _find_image_id(parts)
    if header is None and not (OURS.search(str(path)) or image_id):
        return Problem(str(path), UNKNOWN)
    if header and header.is_projection:
        return Problem(str(path), PROJECTIONS)
    said = {"its path": _find_subject(parts), "PatientID": _clean_subject(header.subject if header else "")}
    named = {subject for subject in said.values() if subject}
    if len(named) > 1:
        return Problem(str(path), f"field PatientID is {said['PatientID']}, and its path says {said['its path']}")
    subject = next(iter(named), known.get(image_id, ""))
    if not subject:
        return Problem(str(path), f"its path, name and header name no subject; {EXPECTED}")
    return ImageFile(path, subject, image_id, _find_day(parts, header), _find_session(parts), header or Header())


def identify_listed(path: Path, header: Header | None, listed: ListedImage) -> ImageFile | Problem:
    """Take a scan for whose the user says it is."""
    if header and header.is_projection:
        return Problem(str(path), PROJECTIONS)
    parts = re.split(r"[\\/]", str(path.absolute()))
    session = find_event(listed.session) or listed.session.upper() or _find_session(parts)
    day = _find_day(parts, header)
    return ImageFile(path, listed.subject, _find_image_id(parts), day, session, header or Header(), listed)


def _find_image_id(parts: list[str]) -> str:
    for part in reversed(parts[:-1][-3:]):
        if found := IMAGE_FOLDER.fullmatch(part):
            return found[1]
    name = IMAGE_NAME.search(parts[-1])
    return name[1] if name else ""


def _find_subject(parts: list[str]) -> str:
    where = next((i for i in range(len(parts) - 2, 1, -1) if MOMENT.fullmatch(parts[i])), None)
    if where and SUBJECT.fullmatch(parts[where - 2]):
        return parts[where - 2]
    for part in reversed(parts):
        for pattern in SUBJECT_NAMES:
            if found := pattern.search(part):
                return found[1]
    return ""


def _clean_subject(text: str) -> str:
    """Return a subject's number from a header; empty where another name stands in its place."""
    digits = text.upper().removeprefix("PPMI").strip(" _-")
    return digits if SUBJECT.fullmatch(digits) else ""


def _find_day(parts: list[str], header: Header | None) -> date | None:
    moments = [found.groups()[:3] for part in parts[:-1] if (found := MOMENT.fullmatch(part))]
    stamp = STAMP.search(parts[-1])
    for year, month, day in (*reversed(moments), *([stamp.groups()] if stamp else [])):
        try:
            moment = date(int(year), int(month), int(day))
        except ValueError:
            continue
        if moment.year != MASKED_YEAR:
            return moment
    return header.day if header else None


def _find_session(parts: list[str]) -> str:
    for part in reversed(parts[:-1]):
        if found := SESSION.match(part):
            return (found[1] or found[2]).upper()
    return ""


def choose_files(images: Iterable[ImageFile]) -> tuple[list[ImageFile], list[Problem], int]:
    """Choose one file for each scan: the original DICOM before what was converted from it.

    Returns:
        The files, what is in dispute, and the number of copies that were passed over.
    """
    by_key = defaultdict(list)
    for image in images:
        by_key[image.key].append(image)
    kept, problems, n_copies = [], [], 0
    for copies in by_key.values():
        best = min(map(_rank, copies))
        chosen = [image for image in copies if _rank(image) == best]
        if len({image.subject for image in copies}) > 1 or not _are_equal(chosen):
            name = f"I{copies[0].image_id}" if copies[0].image_id else " ".join(copies[0].key)
            problems += [Problem(str(i.path), f"image id {name} stands for {len(copies)} files") for i in copies]
        else:
            kept.append(chosen[0])
            n_copies += len(copies) - 1
    return sorted(kept, key=lambda image: image.path), problems, n_copies


def _rank(image: ImageFile) -> int:
    """DICOM, then NIfTI as it was converted, then what was made from that (SPM writes letters before the name)."""
    name = image.path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return 0
    return 1 if re.match(r"(ppmi_|i?\d|sub-)", name) else 2


def _are_equal(images: list[ImageFile]) -> bool:
    if len(images) == 1:
        return True
    if len({image.path.stat().st_size for image in images}) > 1:
        return False
    first, *rest = (image.path.read_bytes() for image in images)
    return all(content == first for content in rest)
