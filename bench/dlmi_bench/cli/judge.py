"""The command `judge`: what the predictions of any algorithms support, whoever made them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, print_json, say
from dlmi_bench.errors import UsageError

if TYPE_CHECKING:
    from dlmi_reports.answers.judge import Judged


def judge(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="ANSWERS...", help="Tables of one test set: .csv, .npz or .parquet; joined by case."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="REPORTED", help="Instead: a table of algorithm, accuracy and n alone.")
    ] = None,
    congruence: Annotated[
        float | None, typer.Option(min=0, max=1, help="--table: share of the cases that both of a pair answer rightly.")
    ] = None,
    claims: Annotated[Path | None, typer.Option(help="Claims in TOML; by default all pairs are compared.")] = None,
    margin: Annotated[
        float, typer.Option(min=0.0001, max=0.99, help="Difference of accuracy below which two count as alike.")
    ] = 0.01,
    name: Annotated[str | None, typer.Option(help="Name of the task; that of the first file by default.")] = None,
    case_id: Annotated[str, typer.Option("--case-id", metavar="COLUMN", help="Column of the cases.")] = "case_id",
    truth: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the true classes.")] = "ground_truth",
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What is one unit: group or patient, where there is one.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Describes cases; is no algorithm.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Left out; may be repeated.")] = None,
    missing: Annotated[
        str, typer.Option(help="Cases without an answer: refuse; complete: leave them out; wrong: count as wrong.")
    ] = "refuse",
    positive: Annotated[
        str | None, typer.Option(metavar="CLASS", help="What a single column of probabilities is of.")
    ] = None,
    costs: Annotated[
        Path | None,
        typer.Option(help="Table of algorithm, parameters, macs, latency_s, energy_j and source."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the results here, for report and claims.")] = None,
    to: Annotated[Path | None, typer.Option("--report", metavar="DIR", help="Write a report.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge anybody's predictions: which algorithm is best, which differences are real, which are alike.

    Columns: case_id, ground_truth, then one for each algorithm, net or net@seed, with classes; or net:class with
    probabilities. Exit 0; with --claims as `claims`: 10 one refuted, 12 not measured, 11 inconclusive.
    """
    if bool(files) == bool(table):
        raise UsageError("judge: give tables of answers, or --table", "for instance: dlmi-bench judge answers.csv")
    how: dict[str, Any] = {"claims": claims, "margin": margin, "name": name, "costs": costs, "out": out, "report": to}
    if table:
        answer = api.judge_accuracies(table, congruence=congruence, **how)
    else:
        how |= {"case_id": case_id, "truth": truth, "group": group, "missing": missing, "positive": positive}
        answer = api.judge(files or (), by=by or (), ignore=ignore or (), **how)
    if as_json:
        _print_json(answer.content)
    else:
        say(str(answer))
    raise typer.Exit(answer.content.exit_code)


def _print_json(judged: "Judged") -> None:
    from dlmi_bench.cli.answers import JudgeAnswer
    from dlmi_reports.claims.dump import to_json

    tree = to_json(judged.verdicts)
    assert isinstance(tree, dict)
    algorithms = [
        {
            "name": name,
            "n_seeds": found.n_seeds,
            "n_cases": found.n,
            "n_effective": found.n_effective,
            "accuracy": found.mean,
            "accuracy_lo": found.lo,
            "accuracy_hi": found.hi,
        }
        for name, found in judged.accuracies.items()
    ]
    false_claims = [
        {
            "first": first,
            "second": second,
            "congruence": found.congruence,
            "probability": found.value,
            "lo": found.lo,
            "hi": found.hi,
        }
        for (first, second), found in judged.false_claims.items()
    ]
    more = {
        "exit_code": judged.exit_code,
        "task": judged.task,
        "algorithms": algorithms,
        "notes": judged.notes,
        "false_claims": false_claims,
        "lock": judged.verdicts.lock.lines,
    }
    print_json(JudgeAnswer.model_validate({**tree, **more}))
