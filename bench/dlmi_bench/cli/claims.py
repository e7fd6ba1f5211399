"""The command `claims`: what the results support or refute, what would decide the rest, and a lock before the run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench.api import judge_claims, lock_claims
from dlmi_bench.cli.options import JsonOption, OutOption, print_json, say
from dlmi_bench.cli.run import load_asked_study
from dlmi_bench.errors import UsageError, list_choices

if TYPE_CHECKING:
    from dlmi_bench.store import Store


def claims(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[lock [STUDY.py]]", help="Before a run: lock the claims, of a study too."),
    ] = None,
    out: OutOption = Path("out"),
    file: Annotated[
        Path | None, typer.Option(help="Claims in TOML; by default OUT/claims.toml, or the course's about these tasks.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="lock: the suite to be run, too.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="lock: trainings of each model, too.")] = None,
    one_family: Annotated[
        bool, typer.Option("--one-family", help="Correct all claims together, not by family.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Test claims on the results. Exit 0: all supported; 10: one refuted; 12: not measured; 11: inconclusive.

    `claims lock` writes OUT/claims.lock.json; reports then say what has changed since.
    """
    if words:
        _lock(words, out, file, suite, seeds, as_json=as_json)
        return
    if suite or seeds:
        raise UsageError("claims: --suite and --seeds belong to `claims lock`", "leave them out, or lock the claims")
    _judge(out, file, is_one_family=one_family, as_json=as_json)


def _judge(out: Path, file: Path | None, *, is_one_family: bool, as_json: bool) -> None:
    from dlmi_bench.cli.answers import ClaimsAnswer
    from dlmi_bench.store import Store
    from dlmi_reports.claims.dump import to_json

    if file:
        check_names(file, Store(out, must_exist=True))
    answer = judge_claims(out, file=file, is_one_family=is_one_family)
    if as_json:
        judged = ClaimsAnswer.model_validate(to_json(answer.content))
        print_json(judged.model_copy(update={"lock": answer.content.lock.lines}))
    else:
        typer.echo(answer)
    raise typer.Exit(answer.content.exit_code)


def _lock(
    words: list[str], out: Path, file: Path | None, suite: str | None, seeds: int | None, *, as_json: bool
) -> None:
    from dlmi_bench.cli.answers import LockAnswer
    from dlmi_reports.claims.lock import NAME, refuse_replacing

    first, *names = words
    if first != "lock" or len(names) > 1 or (names and not names[0].endswith(".py")):
        wrong = first if first != "lock" else names[-1]
        raise UsageError(f"claims {wrong}: no such word", "say dlmi-bench claims, or dlmi-bench claims lock [STUDY.py]")
    study = load_asked_study(Path(names[0]), suite) if names else None
    if study:
        refuse_replacing(out)
        study.keep_claims(out)
    if file:
        check_names(file)
    answer = lock_claims(out, file=file, suite=study.suite if study else suite, n_seeds=seeds)
    if as_json:
        print_json(LockAnswer(lock=answer.content, file=str(out / NAME)))
    else:
        say(str(answer))


def check_names(file: Path, store: "Store | None" = None) -> None:
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

    cells = [attempt.record.cell for attempt in store.current().values() if attempt.record] if store else []
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
