"""The command `claims`: what the results support, what they refute, and what would decide the rest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench.cli.options import JsonOption, OutOption, print_json
from dlmi_bench.errors import UsageError

WIDTH = 80  # columns
VERDICT_WIDTH = 14

if TYPE_CHECKING:
    from dlmi_bench.store import Store
    from dlmi_reports.claims.verdicts import Verdicts


def claims(
    out: OutOption = Path("out"),
    file: Annotated[Path | None, typer.Option(help="Claims in TOML; the course's by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold claims against the results. Exit 0: all supported; 10: one refuted; 12: not measured; 11: inconclusive."""
    from dlmi_bench.store import Store
    from dlmi_reports.claims.verdicts import judge_store, to_json

    store = Store(out, must_exist=True)
    if file:
        _check_names(file, store)
    verdicts = judge_store(store, file)
    if as_json:
        print_json(to_json(verdicts))
    else:
        _print_table(verdicts)
    raise typer.Exit(verdicts.exit_code)


def _check_names(file: Path, store: "Store") -> None:
    """A misspelt name would never be measured: every task and model is registered or in the store.

    Raises:
        UsageError: names the first that is not, and its line.
    """
    from dlmi_bench.toml import find_line
    from dlmi_models import MODELS
    from dlmi_reports.claims.kinds import load_claims
    from dlmi_tasks import TASKS

    cells = [attempt.record.cell for attempt in store.current().values() if attempt.record]
    known = {
        "task": {*TASKS, *(cell.task for cell in cells)},
        "model": {*MODELS, *(cell.model for cell in cells)},
    }
    for index, claim in enumerate(load_claims(file).claim):
        for what, names in known.items():
            for name in claim.list_population(what):  # type: ignore[arg-type]
                if name not in names and name.partition("+")[0] not in names:
                    line = find_line(file.read_text(encoding="utf-8"), ("claim", index, "id"))
                    cause = f"{file}: claim {claim.id} (line {line}): no {what} {name!r}"
                    raise UsageError(cause, f"use one of {', '.join(sorted(names))}")


def _print_table(verdicts: "Verdicts") -> None:
    """For each claim its verdict and name, what was found, and what to do about it."""
    from textwrap import wrap

    from dlmi_reports.claims.prose import describe_family, describe_next

    indent = " " * VERDICT_WIDTH
    for judgement in verdicts.judgements:
        mark = " (SYNTHETIC DATA)" if judgement.is_synthetic else ""
        typer.echo(f"{judgement.verdict.value:<{VERDICT_WIDTH}}{judgement.claim.id}{mark}")
        for text in (*judgement.evidence, describe_next(judgement, verdicts)):
            for line in wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  "):
                typer.echo(line)
    typer.echo()
    for line in wrap(describe_family(verdicts), WIDTH):
        typer.echo(line)
