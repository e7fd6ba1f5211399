"""Judging what others report: their predictions, or accuracies alone."""

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dlmi_bench.api.answer import Answer
from dlmi_bench.errors import UsageError, list_choices

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from dlmi_bench.records import Record
    from dlmi_reports.answers.judge import Judged
    from dlmi_reports.answers.table import AnswerTable

    Source = str | Path | pd.DataFrame


def judge(
    answers: "Source | Sequence[Source]",
    *,
    claims: str | Path | None = None,
    margin: float = 0.01,
    name: str | None = None,
    case_id: str = "case_id",
    truth: str = "ground_truth",
    group: str | None = None,
    by: Iterable[str] = (),
    ignore: Iterable[str] = (),
    missing: str = "refuse",
    positive: str | None = None,
    costs: "Source | None" = None,
    out: str | Path | None = None,
    report: str | Path | None = None,
) -> "Answer[Judged]":
    """Judge predictions of any algorithms on the same cases: which is best, which differ, which are alike.

    Args:
        answers: A table, or several that are joined by case: .csv, .npz, .parquet or a data frame, with the columns
            `case_id`, `ground_truth`, and for each algorithm `net` or `net@seed` with classes, or `net:class` with
            probabilities.
        claims: Claims in TOML, instead of the default questions on all pairs.
        margin: Difference below which two algorithms count as alike.
        name: Name of the task in claims and reports; by default that of the first file.
        case_id, truth: Columns of the cases and of their classes.
        group: Column of what is one unit, such as a patient; by default `group` or `patient` where there is one.
        by: More columns that describe cases, and are no algorithms.
        ignore: Columns to leave out.
        missing: For a case without an answer: "refuse", "complete" keeps those that all answered, "wrong" counts it
            as wrong.
        positive: Class that a single column of probabilities is of.
        costs: Table of reported costs: `algorithm`, any of `parameters`, `macs`, `latency_s` and `energy_j` of one
            answer, bounds of the last two such as `latency_lo_s` and `latency_hi_s`, and `source`.
        out: Folder that keeps the results, for `report` and `judge_claims`; by default nothing is kept.
        report: Folder of a report.

    Returns:
        Accuracies, verdicts and what was assumed; one row for each pair, or for each claim.

    Raises:
        UsageError, DataError: a table, a column or a cell cannot be used; names it.

    Example:
        >>> import dlmi_bench, pandas
        >>> cases = {"case_id": range(8), "ground_truth": [0, 1] * 4, "a": [0, 1] * 4, "b": [1, 1] * 4}
        >>> dlmi_bench.judge(pandas.DataFrame(cases)).to_dataframe()["verdict"].tolist()
        ['open']
    """
    import pandas as pd

    from dlmi_reports.answers.columns import Reading
    from dlmi_reports.answers.keep import clean_task, make_records
    from dlmi_reports.answers.missing import CHOICES
    from dlmi_reports.answers.predictions import read_predictions

    if missing not in CHOICES:
        raise UsageError(f"missing: no {missing!r}", list_choices(missing, CHOICES))
    sources = [answers] if isinstance(answers, str | Path | pd.DataFrame) else list(answers)
    tables = list(map(_take_table, sources))
    reading = Reading(case_id, truth, group, tuple(by), tuple(ignore), missing, positive)
    read = read_predictions(tables, reading)
    task = clean_task(name or tables[0].stem)
    with _open_folder(out) as folder:
        records = make_records(read, folder, task)
        return _answer(_judge(records, costs, folder, task, read.notes, claims, margin, report), report)


def judge_accuracies(
    table: "Source",
    *,
    congruence: float | None = None,
    costs: "Source | None" = None,
    claims: str | Path | None = None,
    margin: float = 0.01,
    name: str | None = None,
    out: str | Path | None = None,
    report: str | Path | None = None,
) -> "Answer[Judged]":
    """Judge accuracies of which only the number of cases is known, as papers report them.

    Args:
        table: A table, .csv, .npz, .parquet or a data frame, with the columns `algorithm`, `accuracy` and `n`.
        congruence: Share of the cases that both of a pair answer rightly; by default as if errors were independent.
        costs, claims, margin, name, out, report: See `judge`.

    Returns:
        Accuracies, verdicts and what was assumed; one row for each pair, with the posterior probability that a claimed
        superiority is false (arXiv 2505.04720).

    Raises:
        UsageError, DataError: a column or a cell cannot be used, or no pair has that congruence; names it.

    Example:
        >>> import dlmi_bench, pandas
        >>> paper = pandas.DataFrame({"algorithm": ["new", "old"], "accuracy": [0.92, 0.9], "n": [500, 500]})
        >>> dlmi_bench.judge_accuracies(paper).to_dataframe()["false_claim"].round(3).tolist()
        [0.136]
    """
    from dataclasses import replace

    from dlmi_reports.answers.keep import clean_task
    from dlmi_reports.answers.reported import compute_pair, make_accuracy_records, read_reported

    read = _take_table(table)
    rows, notes = read_reported(read)
    task, by_name = clean_task(name or read.stem), {row.name: row for row in rows}
    with _open_folder(out) as folder:
        records = make_accuracy_records(rows, read, notes, task)
        judged = _judge(records, costs, folder, task, notes, claims, margin, report)
    pairs = [(pair, compute_pair(by_name[pair.first], by_name[pair.second], congruence)) for pair in judged.pairs]
    return _answer(replace(judged, false_claims={pair.key: found for pair, found in pairs if found}), report)


def _take_table(source: "Source") -> "AnswerTable":
    from dlmi_reports.answers.table import load_table, take_frame

    return load_table(Path(source)) if isinstance(source, str | Path) else take_frame(source)


@contextmanager
def _open_folder(out: str | Path | None) -> "Iterator[Path]":
    """Give the folder that keeps results, or one that is removed."""
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)


def _judge(
    records: "list[Record]",
    costs: "Source | None",
    folder: Path,
    task: str,
    notes: Sequence[str],
    claims: str | Path | None,
    margin: float,
    report: str | Path | None,
) -> "Judged":
    """Keep records with costs, judge them, and write the report."""
    from dlmi_reports import write_report
    from dlmi_reports.answers.costs import read_costs
    from dlmi_reports.answers.judge import judge_store
    from dlmi_reports.answers.keep import keep_records

    names = list(dict.fromkeys(record.cell.model for record in records))
    priced = [] if costs is None else read_costs(_take_table(costs), task, names)
    store, path = keep_records([*records, *priced], folder), Path(claims) if claims else None
    try:
        judged = judge_store(store, task, notes, claims=path, margin=margin)
        if report:
            write_report(store, Path(report), claims=path)
    finally:
        store.close()
    return judged


def _answer(judged: "Judged", report: str | Path | None) -> "Answer[Judged]":
    from dlmi_reports.answers.judge import format_judged

    rows: list[dict[str, object]] = [
        {"first": p.first, "second": p.second, "difference": p.difference, "verdict": p.verdict}
        | ({"false_claim": found.value} if (found := judged.false_claims.get(p.key)) else {})
        for p in judged.pairs
    ] or [{"id": j.claim.id, "verdict": j.verdict.value} for j in judged.verdicts.judgements]
    said = [f"Report: {report}"] if report else []
    return Answer(judged, rows, "\n".join([format_judged(judged), *said]))
