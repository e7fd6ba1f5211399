"""Task from a folder with one folder of images for each class, or with such folders for each split."""

from itertools import islice
from pathlib import Path
from typing import Unpack

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_tasks.own.examples import MAX_EXAMPLES, SPLIT_WORDS
from dlmi_tasks.own.options import Options, add_split, complete
from dlmi_tasks.own.sources.files import make_file_task
from dlmi_tasks.own.sources.images import READERS, is_image
from dlmi_tasks.spec import Task

REMEDY = "use FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE"


def from_folder(path: str | Path, **options: Unpack[Options]) -> Task:
    """See Task.from_folder."""
    path = Path(path)
    full = complete(options, path.resolve().name)
    parts = _find_splits(path)
    files = {(part, name): _list_images(folder) for part, root in parts.items() for name, folder in _list_folders(root)}
    found = sorted({name for _, name in files})
    names = tuple(full["class_names"] or found)
    if set(names) != set(found):
        cause = f"{path}: its folders are {', '.join(found)}, class_names are {', '.join(names)}"
        raise DataError(cause, "use the same names; their order is yours")
    rows = [(part, name, file) for (part, name), listed in files.items() for file in listed]
    if not rows:
        raise DataError(f"{path}: no images", REMEDY)
    if list(parts) != [""]:
        full = add_split(full, str(path), [part for part, _, _ in rows])
    paths = [file for _, _, file in rows]
    labels = np.array([names.index(name) for _, name, _ in rows], dtype=np.int64)
    relative = [str(file.relative_to(path)) for file in paths]
    return make_file_task(path, "folder", relative, paths.__getitem__, labels, names, full)


def _find_splits(path: Path) -> dict[str, Path]:
    """Folders of the splits, or the folder itself under an empty name."""
    folders = dict(_list_folders(path))
    if not folders:
        raise DataError(f"{path}: no folders in it", REMEDY)
    if not set(folders) <= set(SPLIT_WORDS) or "train" not in {SPLIT_WORDS[name] for name in folders}:
        return {"": path}
    return {SPLIT_WORDS[name]: folder for name, folder in folders.items()}


def _list_folders(path: Path) -> list[tuple[str, Path]]:
    """Folders in a folder by name, sorted; hidden ones are left out.

    Raises:
        DataError: it is no folder, or images lie beside the folders.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder", "name a folder of folders of images")
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    loose = next((entry for entry in entries if not entry.is_dir() and is_image(entry)), None)
    if loose:
        raise DataError(f"{loose}: an image outside of the folders of classes", REMEDY)
    return [(entry.name, entry) for entry in entries if entry.is_dir()]


def _list_images(folder: Path) -> list[Path]:
    """Files below a folder, sorted; hidden ones are left out.

    Raises:
        DataError: one is no image, or there are too many.
    """
    found = list(islice(folder.rglob("*"), MAX_EXAMPLES + 1))
    if len(found) > MAX_EXAMPLES:
        raise DataError(f"{folder}: more than {MAX_EXAMPLES} files", "use fewer")
    files = sorted(f for f in found if not any(p.startswith(".") for p in f.relative_to(folder).parts) and f.is_file())
    other = next((file for file in files if not is_image(file)), None)
    if other:
        raise DataError(f"{other}: not one of {', '.join(READERS)}", "convert it, or move it elsewhere")
    return files
