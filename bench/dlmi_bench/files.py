"""Files: those from outside are found inside their folder, regular, bounded and parsed behind one boundary; those of
this program appear whole or not at all.
"""

import errno
import io
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from dlmi_bench.errors import BenchError, DataError, UnavailableError, choose_remedy

MAX_BYTES = 1 << 31  # of a file that is read as a whole
MAX_MESSAGE = 500  # characters of what a parser says


def resolve_inside(folder: Path, name: str) -> Path:
    """Path of the file `name` in `folder`, links followed.

    Raises:
        DataError: it lies elsewhere.
    """
    root, path = folder.resolve(), (folder / name).resolve()
    if path == root or not path.is_relative_to(root):
        raise DataError(f"{folder}: {name!r} leads out of this folder", "use files of a source that you trust")
    return path


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a regular file; nothing else is opened, so that a pipe or a device stops nobody.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than `max_bytes`.
    """
    content = read_head(path, max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", str(path))
    return content


def read_head(path: Path, n_bytes: int) -> bytes:
    """First bytes of a regular file; all of it where it has fewer.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        return file.read(n_bytes)


def decode_text(content: bytes) -> str:
    """Text of a user's file: UTF-8, or UTF-16 and UTF-32 as editors and shells of Windows write; without the mark.

    Raises:
        UnicodeDecodeError: it is none of them.
    """
    return content.decode(json.detect_encoding(content))


def is_utf8(path: Path) -> bool:
    """Check that the absolute path is text; file systems allow any bytes."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def parsing(where: object, remedy: str, kind: type[BenchError] = DataError) -> Iterator[None]:
    """Turn whatever a parser raises into an error of this program.

    Parsers of other projects raise what the broken byte leads them to: ValueError for a number of 5 000 digits,
    RecursionError for deep nesting, MemoryError for a size that the header claims, KeyError, struct.error and more.
    """
    try:
        yield
    except BenchError:
        raise
    except MemoryError as error:
        raise kind(f"{where}: out of memory", choose_remedy(error)) from error
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{where}: no package {error.name}", choose_remedy(error)) from error
    except Exception as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        said = " ".join(words.split())[:MAX_MESSAGE]
        if isinstance(error, LookupError | RecursionError) or not said:  # words that say nothing alone
            said = f"{type(error).__name__} {said}".rstrip()
        raise kind(f"{where}: {said}", remedy) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears under `path` whole or not at all, with permissions by the user's umask.

    Raises:
        OSError: it cannot be written; names `path` also where the system names no file, as when no space is left.
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> Path:
    """Write text in UTF-8, whole or not at all, in a folder that is made if it is not there; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(text.encode())
    return path


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Open a text file in UTF-8, line ends as written, that appears whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        yield text
        text.detach()


LFS_HEAD = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(path: Path) -> bool:
    """Check whether a regular file is the text that Git LFS leaves in the place of a file that was not fetched."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(LFS_HEAD)) == LFS_HEAD


def make_lfs_error(where: object) -> DataError:
    return DataError(f"{where}: is a Git LFS pointer, not the file itself", "run `git lfs pull` in its repository")
