"""Everything below a folder, by kind, from names and a file's first bytes.

Links are followed, each folder once, so that a loop ends. Nothing that cannot be read stops the walk.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.tables.records import Problem

IMAGES = (".dcm", ".ima", ".nii", ".nii.gz")
TABLES = (".csv", ".tsv", ".xlsx")
ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.gz|7z|rar)(\.[a-z]{2}|\.\d{2,3})?$|\.z\d{2}$", re.IGNORECASE)
# What systems leave beside files: a Mac ._x beside x, a spreadsheet ~$x beside one that is open; a DICOM index.
PREFIXES = ("._", "~$")
LEFTOVERS = {".ds_store", "thumbs.db", "desktop.ini", "dicomdir"}
DICOM_MAGIC, MAGIC_AT = b"DICM", 128


@dataclass
class Walked:
    """Paths by kind, sorted; `others` counts the rest by suffix.

    Attributes:
        n_leftovers: Files of the system's own, such as .DS_Store and ._x.
        problems: What could not be entered or read.
    """

    images: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    metadata: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    n_leftovers: int = 0
    problems: list[Problem] = field(default_factory=list)

    def describe(self) -> dict[str, object]:
        """Count the files of each kind."""
        kinds = {"images": self.images, "tables": self.tables, "archives": self.archives, "xml": self.metadata}
        counts: dict[str, object] = {kind: len(paths) for kind, paths in kinds.items()}
        return counts | {"leftovers of the system": self.n_leftovers, "others": dict(sorted(self.others.items()))}


def walk(folder: Path) -> Walked:
    """Sort everything below a folder.

    Raises:
        DataError: not a folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder", "name the folder that holds PPMI/ with --data-dir")
    found = Walked()
    for path in _list_files(folder, found.problems):
        _sort(path, found)
    for paths in (found.images, found.tables, found.archives, found.metadata):
        paths.sort()
    return found


def _list_files(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        problems.append(Problem(str(error.filename), f"cannot be entered: {error.strerror}"))

    for parent, folders, names in os.walk(folder, onerror=note, followlinks=True):
        here = Path(parent).stat()
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            problems.append(Problem(parent, "a link to a folder that was read already"))
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = sorted(name for name in folders if name != "__MACOSX")
        yield from (Path(parent, name) for name in sorted(names))


def _sort(path: Path, found: Walked) -> None:
    name = path.name.lower()
    if not path.is_file():
        dead = path.is_symlink() and not path.exists()
        found.problems.append(Problem(str(path), "a link that leads nowhere" if dead else "not a regular file"))
    elif name in LEFTOVERS or name.startswith(PREFIXES):
        found.n_leftovers += 1
    elif name.endswith(IMAGES):
        found.images.append(path)
    elif name.endswith(TABLES):
        found.tables.append(path)
    elif ARCHIVE.search(name):
        found.archives.append(path)
    elif name.endswith(".xml"):
        found.metadata.append(path)
    elif _is_dicom(path):
        found.images.append(path)
    else:
        found.others[path.suffix.lower() or "without suffix"] += 1


def _is_dicom(path: Path) -> bool:
    """Whether a file of another name begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(DICOM_MAGIC))[MAGIC_AT:] == DICOM_MAGIC
    except OSError:
        return False
