"""A profile: what one model costs on every runtime, row by row; a row that fails says why and the others still come."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.backends import BACKENDS
from bench.errors import BenchError
from bench.executors import OnProgress, Worker
from bench.figures import make_latency_figures
from bench.latency import Trace
from bench.profiling import EMPTY
from bench.records import Figure
from bench.subject import Subject
from bench.trial import N_EXAMPLES

# Processes behind each latency: one in any case, more while there is time.
MAX_PROCESSES = 5
N_ROUNDS = 50
ENERGY_WINDOW_S = 1.0
NO_ARTIFACT = "this runtime cannot load what was given", "give a module, or use a runtime that loads ONNX files"


@dataclass
class Row:
    """One runtime: its figures, or why there are none. What this machine or this kind of model lacks is no failure."""

    backend: str
    figures: list[Figure] = field(default_factory=list)
    error: str = ""
    remedy: str = ""
    is_missing: bool = False
    results: list[dict[str, Any]] = field(default_factory=list)
    took_s: float = 0.0

    def fail(self, cause: str, remedy: str) -> None:
        self.error, self.remedy, self.figures = cause, remedy, []

    def find(self, name: str, **conditions: object) -> Figure | None:
        """The first figure of that name that meets all of `conditions`."""
        for figure in self.figures:
            if figure.name == name and all(figure.conditions.get(k) == v for k, v in conditions.items()):
                return figure
        return None


@dataclass
class Portrait:
    """Counts of the model and one row for each runtime."""

    subject: Subject
    batches: tuple[int, ...]
    counts: list[Figure] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    error: str = ""
    took_s: float = 0.0


def draw(
    subject: Subject, backends: Sequence[str], batches: tuple[int, ...], *, budget_s: float, on_progress: OnProgress
) -> Portrait:
    """Profile `subject`; after `budget_s` no process is started but the first of each row."""
    begin_s = time.monotonic()
    portrait = Portrait(subject, batches, rows=[Row(name) for name in backends])
    with TemporaryDirectory() as folder:
        prepared = _prepare(portrait, Path(folder), on_progress)
        if prepared:
            _spread_errors(portrait.rows, prepared)
            _measure(portrait, prepared["paths"], begin_s + budget_s, on_progress)
    for row in portrait.rows:
        if not row.error:
            row.figures += _summarise(row, batches)
    portrait.took_s = time.monotonic() - begin_s
    return portrait


def _prepare(portrait: Portrait, folder: Path, on_progress: OnProgress) -> dict[str, Any] | None:
    """Artifacts, and counts of the model; what fails here is the error of every row that needed it."""
    subject = portrait.subject.model_dump(mode="json")
    n_examples = max(N_EXAMPLES, *portrait.batches)
    prepared: dict[str, Any] | None = None
    on_progress("building and exporting", 0.0)
    names = [row.backend for row in portrait.rows]
    payload = {"subject": subject, "folder": str(folder), "n_examples": n_examples, "backends": names}
    try:
        with Worker() as worker:
            prepared = worker.call("bench.trial:run_prepare_job", payload, on_progress)
    except BenchError as error:
        for row in portrait.rows:
            row.fail(error.cause, error.remedy)
    on_progress("counting", 0.0)
    onnx = prepared["paths"].get("onnx") if prepared else None
    try:
        with Worker() as worker:
            answer = worker.call("bench.counting:run_counts_job", {"subject": subject, "onnx": onnx})
        portrait.counts = [Figure.model_validate(item) for item in answer]
    except BenchError as error:
        portrait.error = f"{error.cause.splitlines()[0]}\nremedy: {error.remedy}"
    return prepared


def _spread_errors(rows: list[Row], prepared: dict[str, Any]) -> None:
    for row in rows:
        role = BACKENDS[row.backend].artifact_role
        if missing := prepared["missing"][row.backend]:
            row.fail(f"not available: {missing}", "see `dlmi-bench list backends`")
        elif role not in prepared["paths"]:
            row.fail(*prepared["errors"].get(role, NO_ARTIFACT))
        row.is_missing = bool(missing) or role not in {**prepared["paths"], **prepared["errors"]}


def _measure(portrait: Portrait, paths: dict[str, str], end_s: float, on_progress: OnProgress) -> None:
    """Processes of all rows in turns, so that drift of the machine hits all alike."""
    for index in range(MAX_PROCESSES):
        for row in portrait.rows:
            if row.error or (index and time.monotonic() + row.took_s > end_s):
                continue
            on_progress(f"{row.backend}, process {index + 1}", 0.0)
            begin_s = time.monotonic()
            try:
                with Worker(index) as worker:
                    answer = worker.call("bench.trial:run_row_job", _make_payload(portrait, row, paths, index))
                row.results.append(answer)
                row.figures += [Figure.model_validate(item) for item in answer["figures"]]
            except BenchError as error:
                row.fail(error.cause, error.remedy)
            row.took_s = time.monotonic() - begin_s


def _make_payload(portrait: Portrait, row: Row, paths: dict[str, str], index: int) -> dict[str, Any]:
    first = row.results[0]["traces"] if row.results else {}
    artifact = paths[BACKENDS[row.backend].artifact_role]
    return {
        "subject": portrait.subject.model_dump(mode="json"),
        "backend": row.backend,
        "paths": {**paths, "artifact": artifact},
        "batches": list(portrait.batches),
        "n_rounds": N_ROUNDS,
        "order_seed": index,
        "n_calls": {name: trace["n_calls"] for name, trace in first.items()},
        "energy_window_s": ENERGY_WINDOW_S,
    }


def _summarise(row: Row, batches: tuple[int, ...]) -> list[Figure]:
    is_pinned = all(result["is_pinned"] for result in row.results)
    figures = [_make_load_figure(row)]
    for batch in batches:
        traces, floors = ([Trace(**result["traces"][name]) for result in row.results] for name in (str(batch), EMPTY))
        conditions = {**row.results[0]["conditions"], "batch": batch}
        made = make_latency_figures(traces, floors, is_pinned=is_pinned, conditions=conditions)
        # These processes have answered before they are timed; from the file on, `load_s` has the first answer.
        figures += [figure for figure in made if figure.name != "cold_start_s"]
    return figures


def _make_load_figure(row: Row) -> Figure:
    times = sorted(result["load_s"] for result in row.results)
    return Figure(
        name="load_s",
        value=median(times),
        lo=times[0],
        hi=times[-1],
        interval="min and max over processes",
        kind="measured",
        source="perf_counter_ns",
        method="from the file to the first answer at batch 1 in a fresh process, compilation included",
        n=len(times),
        conditions=row.results[0]["conditions"],
    )
