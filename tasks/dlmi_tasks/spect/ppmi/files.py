"""Find the images of a PPMI download by their place in the tree, without opening any.

Current:  <subject>/<description>/<date>/I<image>/*.dcm|.nii|.nii.gz
Older:    <subject>/<description>/<date>/S<series>/..._I<image>.dcm|.nii
Any number of folders may lie above, as when an archive was unpacked one level deeper.
"""

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.spect.ppmi.layout import MAX_IMAGE_BYTES, Problem

SUFFIXES = (".dcm", ".nii", ".nii.gz")
MOMENT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(_\d{2}_\d{2}_\d{2}(\.\d+)?)?", re.ASCII)
IMAGE_FOLDER = re.compile(r"I(\d+)", re.ASCII)
IMAGE_NAME = re.compile(r"(?:^|_)I(\d+)\.", re.ASCII)
SUBJECT = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True)
class ImageFile:
    """One image and what its path says. `image_id` has no leading I."""

    path: Path
    subject: str
    image_id: str
    day: date


def find_images(folder: Path) -> tuple[list[ImageFile], list[Problem]]:
    """All images below `folder`, sorted by path, and what could not be placed.

    Raises:
        DataError: not a folder, or no image anywhere below it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder", "name the folder that holds PPMI/ with --data-dir")
    # "._x" is what a Mac leaves beside x on a foreign disk.
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("._"))
    images = [p for p in paths if p.name.lower().endswith(SUFFIXES)]
    if not images:
        raise DataError(f"{folder}: no .dcm, .nii or .nii.gz file below it", REMEDY)
    problems = _find_bare_metadata(paths, images)
    found = []
    for path in images:
        parsed = _parse_path(path)
        if isinstance(parsed, Problem):
            problems.append(parsed)
        else:
            found.append(parsed)
    unique, doubles = _drop_doubles(found)
    return unique, problems + doubles


REMEDY = "expected PPMI/<subject>/Reconstructed_DaTSCAN/<date>/I<image>/*.dcm or *.nii, as the archive unpacks"


def _find_bare_metadata(paths: list[Path], images: list[Path]) -> list[Problem]:
    """Folders that hold XML and, at any depth, no image."""
    with_images = {parent for path in images for parent in path.parents}
    bare = sorted({p.parent for p in paths if p.suffix.lower() == ".xml"} - with_images)
    return [Problem(str(folder), "holds only XML, no image: downloaded without its images?") for folder in bare]


def _parse_path(path: Path) -> ImageFile | Problem:
    parts = path.absolute().parts
    where = next((i for i in range(len(parts) - 2, 1, -1) if MOMENT.fullmatch(parts[i])), None)
    if where is None or not SUBJECT.fullmatch(parts[where - 2]):
        return Problem(str(path), f"its path names no subject and date; {REMEDY}")
    image = IMAGE_FOLDER.fullmatch(path.parent.name) or IMAGE_NAME.search(path.name)
    if image is None:
        return Problem(str(path), "neither its folder (I<image>) nor its name (.._I<image>.) gives an image id")
    day = _parse_day(parts[where])
    if day is None:
        return Problem(str(path), f"{parts[where]!r} in its path is not a date")
    return ImageFile(path, parts[where - 2], image[1], day)


def _parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _drop_doubles(images: list[ImageFile]) -> tuple[list[ImageFile], list[Problem]]:
    """One file per image id. Equal copies count once; where copies differ, none is taken: which is right is unknown."""
    by_id = defaultdict(list)
    for image in images:
        by_id[image.image_id].append(image)
    kept, problems = [], []
    for image_id, copies in by_id.items():
        if len(copies) == 1:
            kept += copies
        elif len({(_hash(c.path), c.subject) for c in copies}) == 1:
            kept.append(copies[0])
            problems += [
                Problem(str(c.path), f"image I{image_id} again, equal to {copies[0].path}") for c in copies[1:]
            ]
        else:
            problems += [Problem(str(c.path), f"image id I{image_id} stands for {len(copies)} files") for c in copies]
    return sorted(kept, key=lambda image: image.path), problems


def _hash(path: Path) -> str:
    """The sha256 of a file; of one that cannot be read its path, which equals no other."""
    try:
        with parsing(f"{path}: cannot be read", REMEDY):
            return hashlib.sha256(read_bytes(path, MAX_IMAGE_BYTES)).hexdigest()
    except DataError:
        return str(path)
