"""The command `init`: a study that runs as it is, to be filled with one's own models and data."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench.errors import UsageError
from dlmi_bench.files import write_text

TEMPLATE = Path(__file__).parent.parent / "template"
FILES = ("study.py", "claims.toml", "README.md", ".github/workflows/dlmi-bench.yml")


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder, or one without files of these names.")],
) -> None:
    """Write a study to start from: study.py, claims.toml, README.md and a workflow for GitHub."""
    write_template(folder)
    typer.echo("\n".join([f"wrote {folder / name}" for name in FILES]))
    typer.echo(f"run it with: cd {folder} && dlmi-bench run study.py --report")


def write_template(folder: Path) -> None:
    """Write all files of the template, or none.

    Raises:
        UsageError: the folder has one of them.
        OSError: one cannot be written.
    """
    texts = {folder / name: (TEMPLATE / name).read_text(encoding="utf-8") for name in FILES}
    for path in texts:
        if path.exists() or path.is_symlink():
            raise UsageError(f"init: {path} is there already", "name another folder, or move that file away")
    written = []
    try:
        for path, text in texts.items():
            written.append(write_text(path, text))
    except OSError:
        for path in written:
            path.unlink()
        raise
