"""Options and answers that several commands share."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmi_bench.errors import StoreError, UsageError
from dlmi_bench.units import clean_text

if TYPE_CHECKING:
    from dlmi_bench.cli.answers import JsonAnswer

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the results.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
GroupingOption = Annotated[
    str | None,
    typer.Option(
        "--grouping", help="Scans in a folder: stage, phase, 1-2+, hc-pd, visual, nsd-iss, labels, or FILE.toml."
    ),
]
AssumeOption = Annotated[
    bool, typer.Option("--assume-pd", help="Scans in a folder: who is in no table of groups is a patient.")
]
RegisterOption = Annotated[
    bool, typer.Option("--register", help="Scans in a folder: align each to the template before it is cut.")
]
FoldsOption = Annotated[
    int | None, typer.Option("--folds", min=2, help="Scans in a folder: folds by patient, each tested once.")
]
SitesOption = Annotated[
    bool, typer.Option("--hold-out-sites", help="Scans in a folder: test on each site, learn from the others.")
]
PicturesOption = Annotated[
    bool, typer.Option("--pictures", help="Scans in a folder: the report shows some, which are those of participants.")
]
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


def name_scan_options(
    folder: Path | None,
    grouping: str | None,
    *,
    assume_pd: bool,
    register: bool,
    n_folds: int | None,
    sites: bool,
    pictures: bool = False,
) -> None:
    """Name a folder of scans and how it is read, before its task is loaded; workers inherit both.

    Raises:
        UsageError: there is no such grouping or folder, or none is named.
    """
    from dlmi_tasks.files import folders

    folders.name_folder(folders.PPMI, folder)
    if grouping or assume_pd or register or n_folds or sites or pictures:
        from dlmi_tasks.spect.ppmi.options import Options, name_options

        if folders.find_folder(folders.PPMI) is None:
            named = "--grouping, --assume-pd, --register, --folds, --hold-out-sites and --pictures"
            raise UsageError(f"{named} are for scans in a folder", "name a folder that exists with --data-dir")
        name_options(Options(grouping or "", assume_pd, register, n_folds or 1, sites, pictures))


def say(text: str, *, err: bool = False) -> None:
    """Print text that may come from files of others: nothing in it steers the terminal or a CI runner."""
    typer.echo(clean_text(text), err=err)


def show_answer(out: Path, claims: Path | None = None, against: Path | None = None) -> None:
    """Show what the results in a folder say, on a terminal in colours; nothing where they say nothing yet."""
    from rich.console import Console

    from dlmi_bench.store import Store
    from dlmi_reports.front.terminal import WIDTH, print_answer

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    with suppress(StoreError):
        other = Store(against, must_exist=True) if against else None
        print_answer(Store(out, must_exist=True), console, claims, other)


def print_json(answer: "JsonAnswer") -> None:
    """Print strict JSON, by the rules of `format_json`."""
    typer.echo(format_json(answer.model_dump(mode="json")))


def format_json(content: Any) -> str:
    """Format strict JSON: a NaN or an infinity, which other readers refuse, is null."""
    try:
        return json.dumps(content, indent=2, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(content), parse_constant=lambda _: None), indent=2)
