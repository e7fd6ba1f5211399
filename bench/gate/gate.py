"""The gate: baseline and candidate side by side; costs exactly, accuracy on the same examples, latency in turns."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.backends import BACKENDS
from bench.environment import describe_environment
from bench.errors import BenchError
from bench.executors import OnProgress, Software, Worker
from bench.gate.baseline import Baseline, Entry, file_path, load_baseline, load_predictions
from bench.gate.candidate import Candidate, export_candidate, load_candidates
from bench.gate.checks import check_accuracy, check_costs
from bench.gate.latency import INPROC, TWOPROC
from bench.gate.output import Kind, Outcome, Row
from bench.gate.revision import open_revision
from bench.gate.session import TWOPROC_ROUNDS, Benchmarks, run_inproc, run_twoproc
from bench.gate.settings import Settings
from bench.gate.timing import Measure, decide_benchmarks
from bench.gate.verdicts import Decision, Verdict
from bench.store import Store


def run_gate(
    folder: Path,
    settings: Settings,
    *,
    out: Path | None = None,
    against: str | None = None,
    extra_calls: float = 0.0,
    on_progress: OnProgress = lambda *_: None,
) -> Outcome:
    """Judge every model of the baseline.

    Args:
        folder: The baseline.
        out: A run whose models are the candidate; else the baseline's weights are exported anew by this code.
        against: Revision of this project whose code exports and runs the baseline, in processes of its own.
        extra_calls: Share of calls that the candidate makes too many, to try the gate out.

    Raises:
        DataError: the baseline is missing, altered or foreign.
        StoreError: no results in `out`.
    """
    baseline = load_baseline(folder)
    rows: list[Row] = []
    with TemporaryDirectory() as scratch:
        candidates = _find_candidates(baseline, folder, out, Path(scratch), rows)
        for entry in baseline.entries:
            if candidate := candidates.get(entry.name):
                rows += _judge_exactly(entry, candidate, folder, settings)
        with _open_measure(against, settings, on_progress) as (measure, looks, software):
            paths = _find_baseline_paths(baseline, folder, Path(scratch) / "old", software)
            benchmarks = make_benchmarks(baseline, candidates, paths, settings, extra_calls)
            taus = {name: settings.find_tau(name) for name in benchmarks}
            decided = decide_benchmarks(benchmarks, taus, measure, looks) if benchmarks else {}
        rows += [Row("latency", decision) for decision in decided.values()]
    described = {"reason": baseline.reason, "created": baseline.created, "against": against}
    return Outcome(tuple(rows), described, describe_environment(), settings.inconclusive)


def _find_candidates(
    baseline: Baseline, folder: Path, out: Path | None, scratch: Path, rows: list[Row]
) -> dict[str, Candidate]:
    """Candidates by name; a model that is missing or cannot be exported gets a row that says so."""
    if out is not None:
        found = load_candidates(Store(out, must_exist=True), baseline)
        vanished = [entry.name for entry in baseline.entries if entry.name not in found]
        rows += [_refuse("cost", name, Verdict.INCOMPARABLE, f"in the baseline, but not in {out}") for name in vanished]
        return found
    found = {}
    with Worker() as worker:
        for entry in baseline.entries:
            try:
                found[entry.name] = export_candidate(entry, folder, scratch / entry.name, worker)
            except BenchError as error:
                rows.append(_refuse("cost", entry.name, Verdict.INVALID, f"cannot be exported: {error.cause}"))
    return found


def _refuse(kind: Kind, name: str, verdict: Verdict, why: str) -> Row:
    return Row(kind, Decision(name, verdict, why=why.splitlines()[0]))


def _judge_exactly(entry: Entry, candidate: Candidate, folder: Path, settings: Settings) -> list[Row]:
    rows = [Row("cost", decision) for decision in check_costs(entry, candidate)]
    predictions = {training.seed: load_predictions(folder, training) for training in entry.trainings}
    decision = check_accuracy(entry, candidate, predictions, settings)
    return [*rows, Row("accuracy", decision)]


@contextmanager
def _open_measure(
    against: str | None, settings: Settings, on_progress: OnProgress
) -> Iterator[tuple[Measure, tuple[int, ...], Software | None]]:
    """How a replicate is measured: in one process, or in several where the software differs."""
    if against is None:

        def measure(benchmarks: Benchmarks, index: int) -> dict[str, Any]:
            return run_inproc(benchmarks, index, settings.n_rounds, on_progress)

        yield measure, INPROC, None
        return
    with open_revision(against) as software:

        def measure_apart(benchmarks: Benchmarks, index: int) -> dict[str, Any]:
            return run_twoproc(benchmarks, index, TWOPROC_ROUNDS, on_progress, software)

        yield measure_apart, TWOPROC, software


def _find_baseline_paths(
    baseline: Baseline, folder: Path, scratch: Path, software: Software | None
) -> dict[str, dict[str, Path]]:
    """The baseline's files by model and role: as they were saved, or exported by the other software."""
    if software is None:
        return {e.name: {a.role: file_path(folder, a) for a in e.artifacts} for e in baseline.entries}
    with Worker(software=software) as worker:
        return {
            entry.name: export_candidate(entry, folder, scratch / entry.name, worker).paths
            for entry in baseline.entries
        }


def make_benchmarks(
    baseline: Baseline,
    candidates: dict[str, Candidate],
    paths: dict[str, dict[str, Path]],
    settings: Settings,
    extra_calls: float,
) -> Benchmarks:
    """Every model that there is on both sides, on every backend at every batch size of the settings."""
    return {
        f"{entry.name} {backend}@{batch}": {
            "backend": backend,
            "batch": batch,
            "input_shape": list(entry.input_shape),
            "candidate_shape": list(candidates[entry.name].input_shape),
            "baseline": str(paths[entry.name][BACKENDS[backend].artifact_role].resolve()),
            "candidate": str(candidates[entry.name].paths[BACKENDS[backend].artifact_role].resolve()),
            "extra_calls": extra_calls,
            "n_calls": 0,
        }
        for entry in baseline.entries
        if entry.name in candidates
        for backend in settings.backends
        for batch in settings.batches
    }
