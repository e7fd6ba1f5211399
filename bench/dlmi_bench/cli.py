"""The command line: arguments, progress, exit codes; nothing else. Heavy imports wait until a command runs."""

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dlmi_bench.commands.claims import claims
from dlmi_bench.commands.count import count
from dlmi_bench.commands.doctor import doctor
from dlmi_bench.commands.export import export
from dlmi_bench.commands.imports import import_benchmark
from dlmi_bench.commands.merge import merge
from dlmi_bench.commands.profile import profile
from dlmi_bench.commands.report import report, write_default_report
from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.gate.commands import baseline_app, gate
from dlmi_bench.options import JsonOption, OutOption, print_json
from dlmi_bench.units import clean_text

EXIT_FAILED_CELLS = 1
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help answers in half the time
    help="Accuracy against cost for compact models: train, measure, report.",
)


class Source(StrEnum):
    auto = "auto"
    folder = "folder"
    cache = "cache"
    registry = "registry"
    official = "official"


class Preset(StrEnum):
    course = "course"
    realistic = "realistic"


class Registry(StrEnum):
    tasks = "tasks"
    models = "models"
    backends = "backends"
    suites = "suites"


@app.command("list")
def list_(
    what: Annotated[Registry | None, typer.Argument(help="Which registry; all of them by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What there is: tasks, models, backends, suites."""
    from dlmi_bench.listing import list_registries

    found = list_registries(what.value if what else None)
    if as_json:
        print_json(found)
        return
    for registry, entries in found.items():
        typer.echo(registry)
        width = max(map(len, entries))
        for name, entry in entries.items():
            state = f" [{entry['state']}]" if "state" in entry else ""
            typer.echo(f"  {name:<{width}}  {entry['title']}{state}")


@app.command()
def data(
    task: Annotated[str, typer.Argument(help="usps, usps-libsvm or spect.")],
    source: Annotated[Source, typer.Option(help="Where from; auto takes the first that works.")] = Source.auto,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the official files.")] = None,
    preset: Annotated[Preset, typer.Option(help="spect: which synthetic cohort.")] = Preset.course,
    audit: Annotated[bool, typer.Option("--audit", help="spect: look for leaks between splits.")] = False,
    montage: Annotated[Path | None, typer.Option(help="spect: write a picture of the synthetic slices.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Get, verify and describe a task's data."""
    from dlmi_bench import listing

    if source is Source.folder and data_dir is None:
        raise UsageError("--source folder needs a folder", "name it with --data-dir")
    is_spect = task == "spect"
    if is_spect:
        described = listing.describe_spect_data(preset.value, data_dir, has_audit=audit)
        if montage:
            from dlmi_tasks.spect.cohort import CohortSpec
            from dlmi_tasks.spect.montage import write_montage

            write_montage(montage, CohortSpec(preset.value))
    else:
        described = listing.describe_task_data(task, source.value, data_dir)
    if as_json:
        print_json(described)
    elif is_spect:
        # The manifest is for machines; it has a line for every patient.
        typer.echo(listing.format_tree({name: part for name, part in described.items() if name != "manifest"}))
    else:
        typer.echo(listing.format_data(described))


@app.command()
def run(
    suite: Annotated[str, typer.Option(help="smoke, default, full, or a TOML file.")] = "default",
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be repeated.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings of each model.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="spect: folder of a PPMI download.")] = None,
    weights_dir: Annotated[
        Path | None, typer.Option(help="Folder of ImageNet weights: NAME.pth, NAME.safetensors.")
    ] = None,
    out: OutOption = Path("out"),
    shard: Annotated[str | None, typer.Option(help="K/N: the K-th of N shares of the trainings; see merge.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do everything again.")] = False,
    with_report: Annotated[bool, typer.Option("--report", help="Write OUT/report at the end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train and measure. Run the same command again to go on where it was interrupted."""
    from rich.console import Console

    from dlmi_bench.display import RunDisplay
    from dlmi_bench.runner import Runner
    from dlmi_bench.store import Store
    from dlmi_bench.suites import load_suite, narrow, parse_shard
    from dlmi_tasks import folders

    folders.name_folder(folders.PPMI, data_dir)
    folders.name_folder(folders.WEIGHTS, weights_dir)
    chosen = narrow(load_suite(suite), tasks=task, models=model, backends=backend, n_seeds=seeds)
    share = parse_shard(shard) if shard else None
    store = Store(out)
    try:
        with RunDisplay(Console(stderr=True)) as display:
            outcome = Runner(chosen, store, is_fresh=fresh, shard=share).run(display)
    except KeyboardInterrupt:
        typer.echo("interrupted: finished cells are kept; the same command goes on from here", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json({"kept": outcome.n_kept, "done": outcome.n_done, "failed": outcome.failures})
    else:
        counts = f"{outcome.n_done} cells done, {outcome.n_kept} kept, {len(outcome.failures)} failed"
        typer.echo(f"{counts}; read them with: dlmi-bench report --out {store.folder}")
    for key, error in outcome.failures.items():
        typer.echo(clean_text(f"failed: {key}: {error}"), err=True)
    if with_report:
        write_default_report(store, out / "report", is_quiet=as_json)
    if outcome.failures:
        raise typer.Exit(EXIT_FAILED_CELLS)


app.add_typer(baseline_app, name="baseline")
app.command()(gate)
app.command()(doctor)
app.command()(report)
app.command()(export)
app.command()(claims)
app.command()(count)
app.command()(profile)
app.command()(merge)
app.command()(import_benchmark)


def main() -> None:
    """Entry point: errors go to standard error with cause and remedy."""
    _heed_signals()
    try:
        app(standalone_mode=True)
    except UsageError as error:
        _end(error, EXIT_USAGE)
    except BenchError as error:
        _end(error, EXIT_ERROR)
    except OSError as error:
        # Standard output may be what is full: what waits for it is dropped, else the interpreter tries again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        where = f"{error.filename}: " if error.filename else ""
        remedy = "name a file or folder that can be read and written, on a disk with space left"
        _end(BenchError(f"{where}{error.strerror or error}", remedy), EXIT_ERROR)


def _heed_signals() -> None:
    """SIGTERM and SIGHUP end the program as an error does: with its workers, without its temporary files."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # not every system has both
        if number and signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def _end(error: BenchError, code: int) -> NoReturn:
    typer.echo(clean_text(f"error: {error}"), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
