"""The command line: arguments, progress, exit codes; nothing else. Heavy imports wait until a command runs."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.executors import OnProgress
    from bench.store import Store

EXIT_FAILED_CELLS = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help answers in half the time
    help="Accuracy against cost for compact models: train, measure, report.",
)

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the results.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


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


class Inconclusive(StrEnum):
    warn = "warn"
    fail = "fail"


class Format(StrEnum):
    md = "md"
    html = "html"
    csv = "csv"


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2))


@app.command("list")
def list_(
    what: Annotated[Registry | None, typer.Argument(help="Which registry; all of them by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What there is: tasks, models, backends, suites."""
    from bench.listing import list_registries

    found = list_registries(what.value if what else None)
    if as_json:
        _print_json(found)
        return
    for registry, entries in found.items():
        typer.echo(registry)
        width = max(map(len, entries))
        for name, entry in entries.items():
            typer.echo(f"  {name:<{width}}  {entry['title']}")


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
    from bench import listing

    if source is Source.folder and data_dir is None:
        raise UsageError("--source folder needs a folder", "name it with --data-dir")
    if task == "spect":
        described = listing.describe_spect_data(preset.value, data_dir, has_audit=audit)
        if montage:
            from tasks.spect.cohort import CohortSpec
            from tasks.spect.montage import write_montage

            write_montage(montage, CohortSpec(preset.value))
    else:
        described = listing.describe_task_data(task, source.value, data_dir)
    if as_json:
        _print_json(described)
    elif task == "spect":
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
    out: OutOption = Path("out"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Do everything again.")] = False,
    with_report: Annotated[bool, typer.Option("--report", help="Write OUT/report at the end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train and measure. Run the same command again to go on where it was interrupted."""
    from rich.console import Console

    from bench.display import RunDisplay
    from bench.runner import Runner
    from bench.store import Store
    from bench.suites import check_names, load_suite

    changes: dict[str, Any] = {"tasks": task, "models": model, "backends": backend, "n_seeds": seeds}
    narrowed = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items() if v}
    chosen = check_names(load_suite(suite).model_copy(update=narrowed), "command line")
    store = Store(out)
    try:
        with RunDisplay(Console(stderr=True)) as display:
            outcome = Runner(chosen, store, is_fresh=fresh).run(display)
    except KeyboardInterrupt:
        typer.echo("interrupted: finished cells are kept; the same command goes on from here", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        _print_json({"kept": outcome.n_kept, "done": outcome.n_done, "failed": outcome.failures})
    else:
        counts = f"{outcome.n_done} cells done, {outcome.n_kept} kept, {len(outcome.failures)} failed"
        typer.echo(f"{counts}; read them with: dlmi-bench report --out {store.folder}")
    for key, error in outcome.failures.items():
        typer.echo(f"failed: {key}: {error}", err=True)
    if with_report:
        _write_report(store, out / "report", list(Format), is_quiet=as_json)
    if outcome.failures:
        raise typer.Exit(EXIT_FAILED_CELLS)


@app.command()
def report(
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the report; OUT/report by default.")] = None,
    format_: Annotated[list[Format] | None, typer.Option("--format", help="md, html, csv; all by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the accuracy-versus-cost report."""
    from bench.store import Store

    written = _write_report(
        Store(out, must_exist=True), to or out / "report", format_ or list(Format), is_quiet=as_json
    )
    if as_json:
        _print_json({"files": [str(path) for path in written]})


def _write_report(store: "Store", folder: Path, formats: list[Format], *, is_quiet: bool = False) -> list[Path]:
    from reports import write_report

    written = write_report(store, folder, [f.value for f in formats])
    for path in written:
        typer.echo(path, err=is_quiet)
    return written


baseline_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The artifacts that the gate judges against."
)
app.add_typer(baseline_app, name="baseline")

BaselineOption = Annotated[Path, typer.Option("--baseline", help="Folder of the baseline.")]


@baseline_app.command("save")
def baseline_save(
    reason: Annotated[str, typer.Option(help="Why it is set or changed; kept with it.")],
    baseline: BaselineOption = Path("baseline"),
    out: OutOption = Path("out"),
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
) -> None:
    """Keep the artifacts of a finished run as the new baseline."""
    from bench.gate.baseline import save_baseline
    from bench.store import Store

    saved = save_baseline(Store(out, must_exist=True), baseline, reason, tuple(model or ()))
    typer.echo(f"{len(saved.entries)} models kept in {baseline}: {', '.join(e.name for e in saved.entries)}")


@baseline_app.command("list")
def baseline_list(baseline: BaselineOption = Path("baseline"), as_json: JsonOption = False) -> None:
    """Models of a baseline, once all its files have been checked."""
    from bench.gate.baseline import load_baseline

    loaded = load_baseline(baseline)
    if as_json:
        _print_json([{"name": e.name, "n_seeds": len(e.trainings), **e.costs} for e in loaded.entries])
        return
    typer.echo(f"{loaded.created}: {loaded.reason}")
    for entry in loaded.entries:
        costs = ", ".join(f"{name} {value}" for name, value in entry.costs.items())
        typer.echo(f"  {entry.name}: {len(entry.trainings)} seeds, {costs}")


@baseline_app.command("show")
def baseline_show(
    name: Annotated[str, typer.Argument(help="TASK/MODEL")], baseline: BaselineOption = Path("baseline")
) -> None:
    """Everything that is kept of one model, as JSON."""
    from bench.gate.baseline import load_baseline

    entries = {entry.name: entry for entry in load_baseline(baseline).entries}
    if name not in entries:
        raise UsageError(f"no {name!r} in {baseline}", f"use one of {', '.join(entries)}")
    typer.echo(entries[name].model_dump_json(indent=2))


@app.command()
def gate(
    baseline: BaselineOption = Path("baseline"),
    out: Annotated[Path | None, typer.Option(help="Judge this run; else the baseline's weights anew.")] = None,
    against: Annotated[str | None, typer.Option(help="Run the baseline with the code of this commit.")] = None,
    settings: Annotated[Path | None, typer.Option(help="Limits in TOML.")] = None,
    inconclusive: Annotated[Inconclusive | None, typer.Option(help="What an undecided benchmark does.")] = None,
    extra_calls: Annotated[float, typer.Option(min=0, max=10, help="Slow the candidate down, to try the gate.")] = 0.0,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Append a Markdown summary, as to GITHUB_STEP_SUMMARY.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge models against their baseline, side by side on this machine."""
    import os

    from bench.gate import output
    from bench.gate.gate import run_gate
    from bench.gate.settings import load_settings

    chosen = load_settings(settings)
    if inconclusive:
        chosen = chosen.model_copy(update={"inconclusive": inconclusive.value})
    outcome = run_gate(
        baseline, chosen, out=out, against=against, extra_calls=extra_calls, on_progress=_make_progress("gate")
    )
    if as_json:
        _print_json(output.to_json(outcome))
    else:
        output.print_table(outcome)
    if junit:
        output.write_junit(outcome, junit)
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(output.format_summary(outcome))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in output.format_annotations(outcome):
            typer.echo(line, err=as_json)
    raise typer.Exit(outcome.exit_code)


def _make_progress(what: str) -> "OnProgress":
    """A line on standard error for each new thing that is done; the parent draws nothing while a block is timed."""
    seen: set[str] = set()

    def show(doing: str, _: float) -> None:
        if doing not in seen:
            seen.add(doing)
            typer.echo(f"{what}: {doing}", err=True)

    return show


def main() -> None:
    """Entry point: errors go to standard error with cause and remedy."""
    try:
        app(standalone_mode=True)
    except UsageError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except BenchError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_FAILED_CELLS)


if __name__ == "__main__":
    main()
