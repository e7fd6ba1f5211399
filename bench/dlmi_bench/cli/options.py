"""Options and answers that several commands share."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the results.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


def print_json(content: Any) -> None:
    """Strict JSON: a NaN or an infinity, which other readers refuse, is an error here."""
    typer.echo(json.dumps(content, indent=2, allow_nan=False))
