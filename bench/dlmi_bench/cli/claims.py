"""The command `claims`: what the results support, what they refute, and what would decide the rest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench.api import judge_claims
from dlmi_bench.cli.options import JsonOption, OutOption, print_json
from dlmi_bench.errors import UsageError, list_choices

if TYPE_CHECKING:
    from dlmi_bench.store import Store


def claims(
    out: OutOption = Path("out"),
    file: Annotated[
        Path | None, typer.Option(help="Claims in TOML; by default OUT/claims.toml, or the course's about these tasks.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Test claims on the results. Exit 0: all supported; 10: one refuted; 12: not measured; 11: inconclusive."""
    from dlmi_bench.cli.answers import ClaimsAnswer
    from dlmi_bench.store import Store
    from dlmi_reports.claims.verdicts import to_json

    if file:
        check_names(file, Store(out, must_exist=True))
    answer = judge_claims(out, file=file)
    if as_json:
        print_json(ClaimsAnswer.model_validate(to_json(answer.content)))
    else:
        typer.echo(answer)
    raise typer.Exit(answer.content.exit_code)


def check_names(file: Path, store: "Store") -> None:
    """Check that every task and model is registered or in the store, because a misspelt name is never measured.

    Raises:
        UsageError: names the first that is neither, and its line.
    """
    from dlmi_bench.files import decode_text
    from dlmi_bench.records import ARM
    from dlmi_bench.toml import find_line
    from dlmi_models import MODELS
    from dlmi_reports.claims.file import load_claims
    from dlmi_tasks import TASKS

    cells = [attempt.record.cell for attempt in store.current().values() if attempt.record]
    known = {
        "task": {*TASKS, *(cell.task for cell in cells)},
        "model": {*MODELS, *(cell.model for cell in cells)},
    }
    for index, claim in enumerate(load_claims(file).claim):
        for what, names in known.items():
            for name in claim.list_population(what):  # type: ignore[arg-type]
                if name not in names and name.partition(ARM)[0] not in names:
                    line = find_line(decode_text(file.read_bytes()), ("claim", index, "id"))
                    cause = f"{file}: claim {claim.id} (line {line}): no {what} {name!r}"
                    raise UsageError(cause, list_choices(name, sorted(names)))
