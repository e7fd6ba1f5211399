"""The command `run`: train and measure a suite."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import (
    AssumeOption,
    FoldsOption,
    GroupingOption,
    JsonOption,
    OutOption,
    PicturesOption,
    QuietOption,
    RegisterOption,
    SitesOption,
    name_scan_options,
    print_json,
    say,
    show_answer,
)
from dlmi_bench.errors import UsageError, list_choices

if TYPE_CHECKING:
    from dlmi_bench.suite.study_file import StudyFile
    from dlmi_bench.suite.suites import Suite

EXIT_FAILED_CELLS = 1
EXIT_INTERRUPTED = 130


def run(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY.py] [KIND]...",
            help="A file with MODELS and TASKS of your own; kinds of cell for --fresh: latency, energy, ...",
        ),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="smoke, default, full, or a TOML file.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be repeated.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings of each model.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="spect: folder of scans, such as a download of PPMI.")] = None,
    grouping: GroupingOption = None,
    assume_pd: AssumeOption = False,
    register: RegisterOption = False,
    folds: FoldsOption = None,
    hold_out_sites: SitesOption = False,
    pictures: PicturesOption = False,
    weights_dir: Annotated[
        Path | None, typer.Option(help="Folder of ImageNet weights: NAME.pth, NAME.safetensors.")
    ] = None,
    out: OutOption = Path("out"),
    shard: Annotated[str | None, typer.Option(help="K/N: the K-th of N shares of the trainings; see merge.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do everything again; or only the kinds named, with the stored trainings.")
    ] = False,
    until_decided: Annotated[
        bool | None,
        typer.Option(
            "--until-decided/--fixed-seeds",
            help="Train what the claims need, and more seeds until they are decided. The default suite does.",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time for the seeds that the claims need: 45m, 90s, 1h.", metavar="TIME")
    ] = None,
    max_seeds: Annotated[int | None, typer.Option(min=1, help="Most seeds of a model; 40.")] = None,
    executor: Annotated[
        str, typer.Option(help="Where the work is done: local, dask (a scheduler's nodes) or slurm.")
    ] = "local",
    options: Annotated[
        list[str] | None,
        typer.Option("--with", help="Option of the executor; may be repeated.", metavar="NAME=VALUE|FILE.toml"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which cells would be done, why and for how long; do nothing.")
    ] = False,
    with_report: Annotated[bool, typer.Option("--report", help="Write OUT/report at the end.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train and measure. Run the same command again to resume."""
    from dlmi_bench.deciding.limits import parse_duration
    from dlmi_bench.suite.suites import parse_shard
    from dlmi_tasks.files import folders

    folders.name_folder(folders.WEIGHTS, weights_dir)
    name_scan_options(
        data_dir,
        grouping,
        assume_pd=assume_pd,
        register=register,
        n_folds=folds,
        sites=hold_out_sites,
        pictures=pictures,
    )
    file, kinds = _split_words(words or [])
    if kinds and not fresh:
        raise _refuse_word(kinds[0])
    study = load_asked_study(file, suite) if file else None
    asked = study.suite if study else suite or "default"
    asked_for: dict[str, Any] = {
        "out": out,
        "tasks": task or (),
        "models": model or (),
        "backends": backend or (),
        "n_seeds": seeds,
        "shard": parse_shard(shard) if shard else None,
        "fresh": (kinds or True) if fresh else False,
        "is_quiet": quiet,
    }
    if dry_run:
        _show_plan(asked, asked_for, as_json=as_json)
        return
    if study:
        study.keep_claims(out, has_looks=bool(until_decided))
    asked_for |= {
        "until_decided": until_decided,
        "budget_s": parse_duration(budget) if budget else None,
        "max_seeds": max_seeds,
        "executor": executor,
        "options": options or (),
    }
    _run(asked, asked_for, as_json=as_json, with_report=with_report)


def _show_plan(suite: "str | Suite", options: dict[str, Any], *, as_json: bool) -> None:
    from dlmi_bench.cli.answers import PlanAnswer

    answer = api.plan(suite, **options)
    forecast = answer.content
    if as_json:
        names = ("n_to_do", "n_kept", "n_unknown", "estimated_s", "estimated_bytes")
        totals = {name: getattr(forecast, name) for name in names}
        print_json(PlanAnswer.model_validate(totals | {"cells": tuple(answer.rows)}))
    else:
        say(str(answer))


def _run(suite: "str | Suite", options: dict[str, Any], *, as_json: bool, with_report: bool) -> None:
    from dlmi_bench.cli.answers import RunAnswer

    try:
        answer = api.run(suite, **options)
    except KeyboardInterrupt:
        typer.echo("interrupted: finished cells are kept; run the same command again to resume", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    outcome = answer.content
    if as_json:
        print_json(RunAnswer(kept=outcome.n_kept, done=outcome.n_done, failed=outcome.failures, lost=outcome.n_lost))
    else:
        typer.echo(answer)
    for key, error in outcome.failures.items():
        say(f"failed: {key}: {error}", err=True)
    if with_report:
        typer.echo(api.report(options["out"]), err=as_json)
    if not (as_json or options["is_quiet"]):
        show_answer(options["out"])
    if outcome.failures:
        raise typer.Exit(EXIT_FAILED_CELLS)


def _refuse_word(word: str) -> UsageError:
    from dlmi_bench.suite.measures import MEASURES
    from dlmi_bench.suite.suites import SUITES

    cause = f"run {word}: neither a study, which ends in .py, nor a kind of cell after --fresh"
    if word in MEASURES:
        return UsageError(cause, f"say dlmi-bench run --fresh {word}")
    if word in SUITES:
        return UsageError(cause, f"say dlmi-bench run --suite {word}")
    return UsageError(cause, f"for a suite, --suite: {list_choices(word, SUITES)}")


def _split_words(words: list[str]) -> tuple[Path | None, list[str]]:
    """Split the study, which ends in .py, from the kinds of cell."""
    if words and words[0].endswith(".py"):
        return Path(words[0]), words[1:]
    return None, words


def load_asked_study(file: Path, suite: str | None) -> "StudyFile":
    """Load a study, as finely measured as `suite` says where it is named."""
    from dlmi_bench.suite.study_file import load_study
    from dlmi_bench.suite.suites import load_suite

    study = load_study(file)
    if suite:
        own = {name: getattr(study.suite, name) for name in ("tasks", "models")}
        return replace(study, suite=load_suite(suite).model_copy(update=own))
    return study
