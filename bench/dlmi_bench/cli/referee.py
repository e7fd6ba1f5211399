"""The command `referee`: train models by their recipes alone, on data in disguise, and check the files."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, OutOption, QuietOption, print_json, say
from dlmi_bench.cli.run import EXIT_INTERRUPTED, load_asked_study
from dlmi_bench.errors import UsageError

EXIT_FOUND = 1
EXIT_UNDECIDED = 11


def referee(
    models: Annotated[
        list[str],
        typer.Argument(metavar="[STUDY.py] [MODEL]...", help="Names, FILE.py:factory; a study has models of its own."),
    ],
    task: Annotated[str | None, typer.Option(help="Task to train on; usps, or the study's only one.")] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Trainings of each model in disguise, and as many plain.")] = 5,
    margin: Annotated[float, typer.Option(min=0.1, max=99.0, help="Points that may be lost in disguise.")] = 2.0,
    nonce: Annotated[
        str | None, typer.Option(help="Of an earlier run, to resume or repeat it; else one is drawn.")
    ] = None,
    out: OutOption = Path("out"),
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train models by their recipes alone, with seeds and a disguise of the data that no recipe knows.

    Then it checks: different seeds give different files, accuracy does not fall in disguise, files hold no more numbers
    than the networks have parameters, training does not change the network, nothing outside is opened, the source holds
    no data, and the files answer elsewhere as they did. Exit codes: 1 where something is FOUND, 11 undecided.
    """
    names, own = _read_words(models, task)
    try:
        answer = api.referee(names, own, n_seeds=seeds, margin=margin / 100, nonce=nonce, out=out, is_quiet=quiet)
    except KeyboardInterrupt:
        typer.echo("interrupted: finished trainings are kept; name the same --nonce to resume", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    found = answer.content
    if as_json:
        from dlmi_bench.cli.answers import RefereeAnswer

        print_json(RefereeAnswer.model_validate(asdict(found)))
    else:
        say(str(answer))
    if found.has_found or any(model.failure for model in found.models):
        raise typer.Exit(EXIT_FOUND)
    if not found.is_complete:
        raise typer.Exit(EXIT_UNDECIDED)


def _read_words(words: list[str], task: str | None) -> tuple[list[str], str]:
    """Names of models, and the task: those of a study where one is named first."""
    if not words[0].endswith(".py"):
        return words, task or "usps"
    study = load_asked_study(Path(words[0]), None)
    names = words[1:] or [*study.own]
    if not names:
        raise UsageError(f"{words[0]}: no MODELS", "name models behind it")
    if task is None and len(study.suite.tasks) != 1:
        raise UsageError(f"{words[0]} has {len(study.suite.tasks)} tasks", "name one with --task")
    return names, task or study.suite.tasks[0]
