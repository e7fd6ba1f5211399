"""The commands as functions, for scripts and notebooks: `import dlmi_bench` offers them.

Each returns an `Answer`: the object behind it, a table, and text. The command line calls the same functions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from dlmi_bench.errors import UsageError, require

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from dlmi_bench.gating.output import GateOutcome
    from dlmi_bench.gating.settings import Settings
    from dlmi_bench.jobs.protocol import OnProgress
    from dlmi_bench.jobs.subject import Subject
    from dlmi_bench.profiling.profile import Profile
    from dlmi_bench.records import Figure
    from dlmi_bench.suite.runner import Outcome
    from dlmi_bench.suite.suites import Suite
    from dlmi_reports.claims.verdicts import Verdicts
    from dlmi_reports.results.load import Results

    Network = nn.Module | Callable[..., nn.Module]

Content = TypeVar("Content")


@dataclass(frozen=True)
class Answer(Generic[Content]):
    """Result of a function of this module.

    Attributes:
        content: The object itself, with everything that is known.
        rows: A table of it, one dictionary a row; units are the last word of a column's name.
        text: The same for a terminal of 80 columns.
    """

    content: Content
    rows: Sequence[Mapping[str, object]] = field(repr=False)
    text: str = field(repr=False)

    def to_dataframe(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html(index=False, na_rep="")


def count(
    model: "str | Network", *, input_shape: Sequence[int] | str | None = None, n_classes: int | None = None
) -> "Answer[list[Figure]]":
    """Count parameters, multiply-accumulates, activations and FLOPs of training. Nothing is timed.

    Args:
        model: A registered model, the path of an ONNX file, `package.module:factory` or `net.py:factory` of your own,
            or a network or what makes one.
        input_shape: Shape of the input, batch first, for instance (1, 1, 50, 50) or "1,1,50,50"; needed for a factory.
        n_classes: For a factory that asks for it.

    Returns:
        Figures, one a row.

    Raises:
        UsageError: no such model, or the model does not take this input.
        DataError: the file is not an ONNX file.

    Example:
        >>> import dlmi_bench
        >>> counts = dlmi_bench.count("mlp-64-32")
        >>> [figure.value for figure in counts.content if figure.name == "n_parameters"]
        [18858.0]
    """
    from dlmi_bench.jobs.protocol import CountsRequest
    from dlmi_bench.jobs.worker import Worker, run_here
    from dlmi_bench.profiling.text import format_counts
    from dlmi_bench.units import clean_line

    subject = _choose_subject(model, input_shape, n_classes)
    request = CountsRequest(subject=subject)
    if subject.kind == "object":
        figures = [*run_here(request, lambda *_: None)]
    else:
        with Worker() as worker:  # a module of the user's runs there
            figures = [*worker.ask(request)]
    head = f"{clean_line(_name_subject(model, subject))}, one example of {'x'.join(map(str, subject.input_shape))}"
    return Answer(figures, _list_rows(figures), "\n".join([head, *format_counts(figures)]))


def _choose_subject(
    model: "str | Network", input_shape: Sequence[int] | str | None, n_classes: int | None
) -> "Subject":
    from dlmi_bench.jobs.plugins import load_entry_points
    from dlmi_bench.jobs.subject import adopt_subject, parse_subject

    load_entry_points()
    shape = _write_shape(input_shape)
    subject = parse_subject(model, shape) if isinstance(model, str) else adopt_subject(model, shape)
    if subject.kind != "file":
        require("torch", _name_subject(model, subject))
    return subject.model_copy(update={"n_classes": n_classes})


def _name_subject(model: "str | Network", subject: "Subject") -> str:
    return model if isinstance(model, str) else subject.name


def profile(
    model: "str | Network",
    *,
    input_shape: Sequence[int] | str | None = None,
    n_classes: int | None = None,
    backends: Iterable[str] = (),
    batches: Iterable[int] = (),
    budget_s: float = 55.0,
    on_progress: "OnProgress" = lambda *_: None,
) -> "Answer[Profile]":
    """Measure latency, memory, energy and agreement with float64 of one model on every runtime, on random inputs.

    Args:
        model: See `count`.
        input_shape, n_classes: See `count`.
        backends: Names of runtimes; all by default.
        batches: Batch sizes; the one of `input_shape` by default.
        budget_s: Time after which no further process is started [s].
        on_progress: Called with what is being done and the fraction that is done.

    Returns:
        The profile; one row for each figure of each runtime.

    Raises:
        UsageError, DataError: see `count`.

    Example:
        >>> import dlmi_bench
        >>> measured = dlmi_bench.profile("softmax", backends=["onnxruntime"], budget_s=0)
        >>> bool((measured.to_dataframe().query("name == 'latency_s'")["value"] < 1e-3).all())
        True
    """
    from dlmi_bench.backends import BACKENDS
    from dlmi_bench.profiling.profile import profile_model
    from dlmi_bench.profiling.text import format_profile

    subject, names = _choose_subject(model, input_shape, n_classes), tuple(dict.fromkeys(backends))
    for name in names:
        if name not in BACKENDS:
            raise UsageError(f"no backend {name!r}", f"use one of {', '.join(BACKENDS)}")
    sizes = tuple(dict.fromkeys(batches)) or (subject.batch,)
    chosen = names or tuple(BACKENDS)
    measured = profile_model(subject, chosen, sizes, budget_s=budget_s, on_progress=on_progress)
    figures = [*measured.counts, *(figure for row in measured.rows for figure in row.figures), *measured.peaks]
    return Answer(measured, _list_rows(figures), format_profile(measured, _name_subject(model, subject)))


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
    is_quiet: bool = False,
) -> "Answer[Outcome]":
    """Train and measure what a suite asks for. What is stored in `out` and still holds is kept.

    Args:
        suite: Name of a suite, path of a TOML file, or a `Suite`.
        out: Folder of the results.
        tasks, models, backends: Only these.
        n_seeds: Trainings of each model.
        shard: Index, from 1 on, and number of the shards of the trainings, one of which is done.
        fresh: True to do everything again, or the kinds of cell to do again, for instance ["latency"].
        is_quiet: Show no progress on standard error.

    Returns:
        How many cells were kept and done, and the causes of failures; one row for each failure.

    Raises:
        UsageError: the suite or a name in it is wrong.
        UnavailableError: torch is not installed, or one of `backends` cannot run on this machine.
        DataError, FetchError: a task's data cannot be had.

    Example:
        >>> import dlmi_bench
        >>> outcome = dlmi_bench.run(suite_file, out=out, is_quiet=True)
        >>> outcome.content.failures
        {}
    """
    from rich.console import Console

    from dlmi_bench.jobs.plugins import load_entry_points
    from dlmi_bench.store import Store
    from dlmi_bench.suite.display import RunDisplay
    from dlmi_bench.suite.measures import parse_kinds
    from dlmi_bench.suite.runner import Runner
    from dlmi_bench.suite.suites import load_suite, override

    load_entry_points()
    asked = load_suite(suite) if isinstance(suite, str) else suite
    chosen = override(asked, tasks=list(tasks), models=list(models), backends=list(backends), n_seeds=n_seeds)
    require("torch", "training")
    store = Store(Path(out))
    with RunDisplay(Console(stderr=True, quiet=is_quiet)) as display:
        outcome = Runner(chosen, store, fresh=parse_kinds(fresh), shard=shard).run(display)
    counts = f"{outcome.n_done} cells done, {outcome.n_kept} kept, {len(outcome.failures)} failed"
    rows: list[dict[str, object]] = [{"cell": key, "error": error} for key, error in outcome.failures.items()]
    return Answer(outcome, rows, f"{counts}; read them with: dlmi-bench report --out {store.folder}")


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
    from dlmi_reports.formats.longform import flatten_row, list_rows
    from dlmi_reports.results.load import load_results as load

    results = load(Store(Path(out), must_exist=True))
    rows = [flatten_row(row) for row in list_rows(results.records)]
    return Answer(results, rows, f"{len(results.records)} cells, {len(rows)} figures in {out}")


def report(
    out: str | Path = "out",
    *,
    to: str | Path | None = None,
    formats: Iterable[str] = (),
    against: str | Path | None = None,
    reference: str | None = None,
    summary: str | Path | None = None,
) -> Answer[list[Path]]:
    """Write the accuracy-versus-cost report.

    Args:
        out: Folder of the results.
        to: Folder of the report; `out`/report by default.
        formats: Any of md, html, csv, latex, json; all by default.
        against: Other results, to compare with.
        reference: Model that the others are compared with; by default the most accurate one of each task.
        summary: File to which a Markdown summary is appended.

    Returns:
        The files that were written, one a row.

    Raises:
        StoreError: there are no results, or they are damaged.
        UsageError: no such model or format.

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
        summary=Path(summary) if summary else None,
    )
    return Answer(written, [{"file": str(path)} for path in written], "\n".join(map(str, written)))


def judge_claims(out: str | Path = "out", *, file: str | Path | None = None) -> "Answer[Verdicts]":
    """Judge claims by the results: which are supported, refuted, open or not measured.

    Args:
        out: Folder of the results.
        file: Claims in TOML; by default `out`/claims.toml, or where there is none the course's about its tasks.

    Returns:
        The verdicts, one claim a row; `content.exit_code` is that of the command.

    Raises:
        StoreError: there are no results, or they are damaged.
        UsageError: the file is wrong.

    Example:
        >>> import dlmi_bench
        >>> verdicts = dlmi_bench.judge_claims(out)
        >>> verdicts.to_dataframe().columns[:3].tolist()
        ['id', 'kind', 'verdict']
    """
    from dlmi_bench.store import Store
    from dlmi_reports.claims.prose import format_verdicts
    from dlmi_reports.claims.verdicts import judge_store

    verdicts = judge_store(Store(Path(out), must_exist=True), Path(file) if file else None)
    rows: list[dict[str, object]] = [
        {
            "id": judged.claim.id,
            "kind": judged.claim.kind,
            "verdict": judged.verdict.value,
            "evidence": "; ".join(judged.evidence),
            "p_holm": judged.p,
            "is_synthetic": judged.is_synthetic,
        }
        for judged in verdicts.judgements
    ]
    return Answer(verdicts, rows, format_verdicts(verdicts))


def gate(
    baseline: str | Path = "baseline",
    *,
    out: str | Path | None = None,
    onnx: Iterable[str | Path] = (),
    test: str | Path | None = None,
    against: str | None = None,
    against_python: str | Path | None = None,
    settings: "str | Path | Settings | None" = None,
    extra_calls: float = 0.0,
    on_progress: "OnProgress" = lambda *_: None,
) -> "Answer[GateOutcome]":
    """Compare models with their baseline, side by side on this machine: slower, less accurate, larger?

    Args:
        baseline: Folder of the baseline.
        out: Results to judge; by default the baseline's weights, exported by today's code.
        onnx, test: Files of your own and their test set (.npz with x and y) to judge instead.
        against: Commit of this project whose code exports and runs the baseline.
        against_python: Interpreter for that commit; one is found or made by default.
        settings: Limits, or the path of a TOML file with them.
        extra_calls: Share by which the candidate is slowed down on purpose, to try the gate.
        on_progress: See `profile`.

    Returns:
        The outcome, one verdict a row; `content.exit_code` is that of the command.

    Raises:
        UsageError: the arguments do not fit each other, or the settings are wrong.

    Example:
        >>> import dlmi_bench
        >>> dlmi_bench.gate("no-such-folder").content.exit_code
        12
    """
    from dlmi_bench.gating.gate import run_gate
    from dlmi_bench.gating.output import format_table
    from dlmi_bench.gating.settings import Settings, load_settings
    from dlmi_bench.gating.sides.request import GateRequest

    limits = settings if isinstance(settings, Settings) else load_settings(Path(settings) if settings else None)
    run_, test_, python = (Path(path) if path else None for path in (out, test, against_python))
    request = GateRequest(run_, tuple(map(Path, onnx)), test_, against, python, extra_calls)
    outcome = run_gate(Path(baseline), limits, request, on_progress)
    rows = [{"kind": row.kind, **asdict(row.decision)} for row in outcome.rows]
    return Answer(outcome, rows, format_table(outcome))


def _write_shape(shape: Sequence[int] | str | None) -> str | None:
    return shape if isinstance(shape, str) else ",".join(map(str, shape)) if shape else None


def _list_rows(figures: Iterable["Figure"]) -> list[dict[str, object]]:
    """List what a table of figures needs: value, bounds, sample size, source and conditions."""
    shown = {"name", "value", "lo", "hi", "n", "kind", "source", "reason"}
    return [figure.model_dump(mode="json", include=shown) | figure.conditions for figure in figures]
