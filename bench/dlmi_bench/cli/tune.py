"""The command `tune`: try recipes by validation, as many for each model."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, OutOption, QuietOption, check_places, print_json, say
from dlmi_bench.cli.run import EXIT_FAILED_CELLS, EXIT_INTERRUPTED, load_asked_study


def tune(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY.py]", help="A file with MODELS and TASKS of your own.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    trials: Annotated[int, typer.Option(min=1, max=12, help="Trials of each model.")] = 6,
    space: Annotated[
        str | None, typer.Option(help="Search these models and recipes: `frontier`, `frontier-slices`, or a TOML file.")
    ] = None,
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option(help="Write the trials of one task to this file as well.")] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Try recipes around those in use, by validation alone, equally many for each model; no recipe is changed.

    Tried are, in this order: the recipe in use; peak_lr x 1/4, 1/2, 2, 4; n_epochs x 2 at peak_lr x 1/2; n_epochs x 2;
    n_epochs x 1/2 at peak_lr x 2; weight_decay x 1/5, 5; batch_size and peak_lr x 1/2, x 2.

    With --space the models and recipes are those of the file. All recipes of a model begin with a share of their
    epochs, and the half with the lower validation loss goes on; see docs/guide/compact.md.

    Every trial is stored and counted, failed ones too. Run the same command again to resume.
    """
    check_places(to)
    try:
        answer = api.tune(
            load_asked_study(study, None).suite if study else "default",
            tasks=task or (),
            models=model or (),
            n_trials=trials,
            out=out,
            to=to,
            space=space,
            on_progress=(lambda _: None) if quiet else _show,
        )
    except KeyboardInterrupt:
        typer.echo("interrupted: finished trials are kept; run the same command again to resume", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    outcome = answer.content
    if as_json:
        from dlmi_bench.cli.answers import TuneAnswer

        counts = {"kept": outcome.n_kept, "done": outcome.n_done, "failed": outcome.failures}
        print_json(TuneAnswer.model_validate(counts | {"found" if space else "models": answer.rows}))
    else:
        say(str(answer))
    for key, error in outcome.failures.items():
        say(f"failed: {key}: {error}", err=True)
    if outcome.failures:
        raise typer.Exit(EXIT_FAILED_CELLS)


def _show(line: str) -> None:
    say(line, err=True)
