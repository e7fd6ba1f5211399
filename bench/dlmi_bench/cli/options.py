"""Options and answers that several commands share."""

import errno
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the results.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


def check_places(*paths: Path | None) -> None:
    """Check, before anything is measured, that files can be written where they were asked for.

    Raises:
        OSError: a path is a folder, or lies in none.
    """
    for path in filter(None, paths):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def print_json(content: Any) -> None:
    """Strict JSON: a NaN or an infinity, which other readers refuse, is an error here."""
    typer.echo(json.dumps(content, indent=2, allow_nan=False))
