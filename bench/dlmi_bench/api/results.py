"""Functions about results: making them, reading them, reporting and judging them."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.api.answer import Answer
from dlmi_bench.errors import require

if TYPE_CHECKING:
    from dlmi_bench.suite.forecast import Forecast
    from dlmi_bench.suite.outcome import Outcome
    from dlmi_bench.suite.suites import Suite
    from dlmi_reports.claims.changes import LockedVerdicts
    from dlmi_reports.results.load import Results


def run(
    suite: "str | Suite" = "default",
    *,
    out: str | Path = "out",
    tasks: Iterable[str] = (),
    models: Iterable[str] = (),
    backends: Iterable[str] = (),
    n_seeds: int | None = None,
    shard: tuple[int, int] | None = None,
    fresh: bool | Iterable[str] = False,
    until_decided: bool | None = None,
    budget_s: float | None = None,
    max_seeds: int | None = None,
    executor: str = "local",
    options: Iterable[str] = (),
    is_quiet: bool = False,
) -> "Answer[Outcome]":
    """Train and measure what a suite asks for. What is stored in `out` and still holds is kept.

    Args:
        suite: Name of a suite, path of a TOML file, or a `Suite`.
        out: Folder of the results.
        tasks, models, backends: Only these.
        n_seeds: Trainings of each model.
        shard: Index, from 1 on, and number of the shards of the trainings, one of which is done.
        fresh: True to do everything again, or the kinds of cell to do again, for instance ["latency"]. Stored
            trainings are then used as they are, also where they are outdated, unless "train" is among the kinds.
        until_decided: Train what the claims need, and more seeds until they are decided. By default only where the
            suite has a budget for it, and neither `models` nor `n_seeds` nor `shard` nor `fresh` is given.
        budget_s: Time for the seeds that the claims need [s]; the suite's by default, else 45 minutes.
        max_seeds: Most seeds of a model, 40 by default.
        executor: Where the work is done: "local", "dask" or "slurm".
        options: Of the executor, for instance ["scheduler=tcp://10.0.0.1:8786"]; see `suite.engines.options`.
        is_quiet: Show no progress on standard error.

    Returns:
        How many cells were kept and done, and the causes of failures; one row for each failure.

    Raises:
        UsageError: the suite or a name in it is wrong.
        UnavailableError: torch is not installed, one of `backends` cannot run on this machine, or no node answers.
        DataError, FetchError: a task's data cannot be had.

    Example:
        >>> import dlmi_bench
        >>> outcome = dlmi_bench.run(suite_file, out=out, is_quiet=True)
        >>> outcome.content.failures
        {}
    """
    from rich.console import Console

    from dlmi_bench.deciding.limits import announce, choose_limits
    from dlmi_bench.deciding.session import decide_stored
    from dlmi_bench.store import Store
    from dlmi_bench.suite.engines.opening import open_engine
    from dlmi_bench.suite.measures import parse_kinds
    from dlmi_bench.suite.runner import Runner
    from dlmi_bench.suite.status.file import show_run

    named = list(models)
    chosen = choose_suite(suite, tasks, named, backends, n_seeds)
    require("torch", "training")
    store = Store(Path(out))
    limits, is_plain = None, not (named or n_seeds or shard or fresh)
    if until_decided or (until_decided is None and is_plain):
        asked = {"is_asked": bool(until_decided), "is_named": bool(named)}
        limits = choose_limits(chosen, store.folder, budget_s, max_seeds, **asked)
    engine = open_engine(executor, options, store.folder)
    console = Console(stderr=True, quiet=is_quiet)
    with closing(engine), show_run(console, store.folder, engine, chosen.name, executor) as display:
        runner = Runner(chosen, store, fresh=parse_kinds(fresh), shard=shard, engine=engine)
        if limits:
            display.say(announce(limits))
        outcome = runner.run(display)
        if limits:
            outcome.add(decide_stored(runner, store, chosen, limits, display))
    counts = f"{outcome.n_done} cells done, {outcome.n_kept} kept, {len(outcome.failures)} failed"
    counts += f" ({outcome.n_lost} tries lost with their worker)" if outcome.n_lost else ""
    rows: list[dict[str, object]] = [{"cell": key, "error": error} for key, error in outcome.failures.items()]
    return Answer(outcome, rows, f"{counts}; read them with: dlmi-bench report --out {store.folder}")


def plan(
    suite: "str | Suite" = "default",
    *,
    out: str | Path = "out",
    tasks: Iterable[str] = (),
    models: Iterable[str] = (),
    backends: Iterable[str] = (),
    n_seeds: int | None = None,
    shard: tuple[int, int] | None = None,
    fresh: bool | Iterable[str] = False,
    is_quiet: bool = False,
) -> "Answer[Forecast]":
    """Tell what `run` would do with the same arguments: which cells, why, and how long they took before.

    Nothing is written, trained or measured. The data of tasks that have results are read.

    Args:
        suite, out, tasks, models, backends, n_seeds, shard, fresh, is_quiet: See `run`.

    Returns:
        The forecast, one row for each cell: why it is to be done, empty where it is kept.

    Raises:
        UsageError, DataError, FetchError: see `run`.

    Example:
        >>> import dlmi_bench
        >>> dlmi_bench.plan(suite_file, out=out, is_quiet=True).content.n_to_do
        0
    """
    from tempfile import TemporaryDirectory

    from rich.console import Console

    from dlmi_bench.store import FILENAME, Store
    from dlmi_bench.suite.display import RunDisplay
    from dlmi_bench.suite.forecast import format_forecast
    from dlmi_bench.suite.measures import parse_kinds
    from dlmi_bench.suite.runner import Runner
    from dlmi_bench.suite.status.disk import describe_room

    chosen, is_there = choose_suite(suite, tasks, models, backends, n_seeds), Path(out, FILENAME).is_file()
    with TemporaryDirectory() as empty, RunDisplay(Console(stderr=True, quiet=is_quiet)) as display:
        store = Store(Path(out), must_exist=True) if is_there else Store(Path(empty))
        forecast = Runner(chosen, store, fresh=parse_kinds(fresh), shard=shard).plan(display)
        store.close()
    rows: list[dict[str, object]] = [
        {"cell": cell.key, "why": planned.reasons.get(cell, "")}
        for planned in forecast.steps
        for cell in planned.step.cells
    ]
    room = describe_room(Path(out), forecast.estimated_bytes) if forecast.n_to_do else ""
    return Answer(forecast, rows, "\n".join(filter(None, (format_forecast(forecast), room))))


def load_results(out: str | Path = "out") -> "Answer[Results]":
    """Load all figures of a folder of results.

    Returns:
        Results by task and model; one row for each figure, in SI units, with all that decides its identity.

    Raises:
        StoreError: there are no results, or they are damaged.

    Example:
        >>> import dlmi_bench
        >>> table = dlmi_bench.load_results(out).to_dataframe()
        >>> sorted(set(table["task"]))
        ['usps']
    """
    from dlmi_bench.store import Store
    from dlmi_reports.formats.longform import list_rows
    from dlmi_reports.results.load import load_results as load

    results = load(Store(Path(out), must_exist=True))
    rows = list(list_rows(results.records))
    return Answer(results, rows, f"{len(results.records)} cells, {len(rows)} figures in {out}")


def report(
    out: str | Path = "out",
    *,
    to: str | Path | None = None,
    formats: Iterable[str] = (),
    against: str | Path | None = None,
    reference: str | None = None,
    claims: str | Path | None = None,
    summary: str | Path | None = None,
    plots: Iterable[str] = (),
    columns: Iterable[str] = (),
) -> Answer[list[Path]]:
    """Write the accuracy-versus-cost report.

    Args:
        out: Folder of the results.
        to: Folder of the report; `out`/report by default.
        formats: Any of md, html, csv, latex, json, table; all by default.
        against: Other results, to compare with.
        reference: Model that the others are compared with; by default the most accurate one of each task.
        claims: Claims in TOML; by default those of `judge_claims`. Those about tasks without results are not shown.
        summary: File to which a Markdown summary is appended.
        plots: Any of pdf, png, svg: the plots redrawn for a column of a paper, in the folder `plots`.
        columns: Costs in the joined tables, four at most: latency, parameters, macs, file, energy, training.

    Returns:
        The files that were written, one a row.

    Raises:
        StoreError: there are no results, or they are damaged.
        UsageError: no such model or format, or the file of claims is wrong.

    Example:
        >>> import dlmi_bench
        >>> [path.name for path in dlmi_bench.report(out, formats=["csv"]).content]
        ['figures.csv']
    """
    from dlmi_bench.store import Store
    from dlmi_reports import write_report
    from dlmi_reports.formats.registry import FORMATS, check_formats

    chosen = list(formats) or list(FORMATS)
    check_formats(chosen, FORMATS)
    written = write_report(
        Store(Path(out), must_exist=True),
        Path(to) if to else Path(out) / "report",
        chosen,
        against=Store(Path(against), must_exist=True) if against else None,
        reference=reference,
        claims=Path(claims) if claims else None,
        summary=Path(summary) if summary else None,
        plots=tuple(plots),
        columns=tuple(columns),
    )
    return Answer(written, [{"file": str(path)} for path in written], "\n".join(map(str, written)))


def judge_claims(
    out: str | Path = "out", *, file: str | Path | None = None, is_one_family: bool = False
) -> "Answer[LockedVerdicts]":
    """Judge claims by the results: which are supported, refuted, open or not measured, and what changed since a lock.

    Args:
        out: Folder of the results.
        file: Claims in TOML; by default `out`/claims.toml, or where there is none the course's about its tasks.
        is_one_family: Correct all claims together, whatever families the file has.

    Returns:
        The verdicts, one claim a row; `content.exit_code` is that of the command.

    Raises:
        StoreError: there are no results, or they are damaged.
        UsageError: the file is wrong.
        DataError: the lock of the claims is damaged.

    Example:
        >>> import dlmi_bench
        >>> verdicts = dlmi_bench.judge_claims(out)
        >>> verdicts.to_dataframe().columns[:3].tolist()
        ['id', 'kind', 'verdict']
    """
    from dlmi_bench.store import Store
    from dlmi_reports.claims.changes import format_locked, judge_results
    from dlmi_reports.results.load import load_results as load

    results = load(Store(Path(out), must_exist=True))
    verdicts = judge_results(results, Path(file) if file else None, is_one_family=is_one_family)
    rows: list[dict[str, object]] = [
        {
            "id": judged.claim.id,
            "kind": judged.claim.kind,
            "verdict": judged.verdict.value,
            "evidence": "; ".join(judged.evidence),
            "p_corrected": judged.p,
            "n_seeds": judged.n_seeds,
            "is_synthetic": judged.is_synthetic,
        }
        for judged in verdicts.judgements
    ]
    return Answer(verdicts, rows, format_locked(verdicts))


def choose_suite(
    suite: "str | Suite",
    tasks: Iterable[str],
    models: Iterable[str],
    backends: Iterable[str] = (),
    n_seeds: int | None = None,
) -> "Suite":
    """Choose a suite, with what is asked for instead of its own.

    Raises:
        UsageError, UnavailableError: see `run`.
    """
    from dlmi_bench.jobs.plugins import load_entry_points
    from dlmi_bench.suite.suites import load_suite, override

    load_entry_points()
    asked = load_suite(suite) if isinstance(suite, str) else suite
    return override(asked, tasks=list(tasks), models=list(models), backends=list(backends), n_seeds=n_seeds)
