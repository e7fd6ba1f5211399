"""The command `run`: train and measure a suite."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, OutOption, print_json, say
from dlmi_bench.errors import UsageError

EXIT_FAILED_CELLS = 1
EXIT_INTERRUPTED = 130


def run(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND]...", help="With --fresh, only these: latency, energy, ...")
    ] = None,
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
    fresh: Annotated[bool, typer.Option("--fresh", help="Do everything again, or the kinds named.")] = False,
    with_report: Annotated[bool, typer.Option("--report", help="Write OUT/report at the end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train and measure. Run the same command again to resume."""
    from dlmi_bench.suite.suites import parse_shard
    from dlmi_tasks.files import folders

    folders.name_folder(folders.PPMI, data_dir)
    folders.name_folder(folders.WEIGHTS, weights_dir)
    if kinds and not fresh:
        raise UsageError(f"run {kinds[0]}: kinds are for --fresh", f"do it again: dlmi-bench run --fresh {kinds[0]}")
    share = parse_shard(shard) if shard else None
    try:
        answer = api.run(
            suite,
            out=out,
            tasks=task or (),
            models=model or (),
            backends=backend or (),
            n_seeds=seeds,
            shard=share,
            fresh=(kinds or True) if fresh else False,
        )
    except KeyboardInterrupt:
        typer.echo("interrupted: finished cells are kept; run the same command again to resume", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    outcome = answer.content
    if as_json:
        print_json({"kept": outcome.n_kept, "done": outcome.n_done, "failed": outcome.failures})
    else:
        typer.echo(answer)
    for key, error in outcome.failures.items():
        say(f"failed: {key}: {error}", err=True)
    if with_report:
        typer.echo(api.report(out), err=as_json)
    if outcome.failures:
        raise typer.Exit(EXIT_FAILED_CELLS)
