"""Run the gate: exact costs, accuracy on the same examples, latency with both sides in turns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import JsonValue

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.gating.checks import check_accuracy, check_costs
from dlmi_bench.gating.expense import describe_training
from dlmi_bench.gating.growth import list_unused
from dlmi_bench.gating.latency.benchmark import Benchmarks, GateBenchmark, Replicate, name_benchmark
from dlmi_bench.gating.latency.decision import INPROC, TWOPROC
from dlmi_bench.gating.latency.looks import Measure
from dlmi_bench.gating.latency.noise import describe_noise
from dlmi_bench.gating.latency.retry import decide_with_retry
from dlmi_bench.gating.latency.session import TWOPROC_ROUNDS, run_inproc, run_twoproc
from dlmi_bench.gating.output import GateOutcome, VerdictRow
from dlmi_bench.gating.progress import announce_processes, pause_and_tell
from dlmi_bench.gating.settings import Settings
from dlmi_bench.gating.sides.baseline import Baseline, Entry, load_baseline, load_predictions
from dlmi_bench.gating.sides.candidate import Candidate
from dlmi_bench.gating.sides.request import GateRequest, Paths, find_baseline_paths, find_candidates, list_unjudged
from dlmi_bench.gating.sides.revision import Revision, open_revision
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_environment, describe_versions
from dlmi_bench.jobs.protocol import OnProgress


def run_gate(
    folder: Path,
    settings: Settings,
    request: GateRequest = GateRequest(),  # noqa: B008 - frozen
    on_progress: OnProgress = lambda *_: None,
) -> GateOutcome:
    """Judge every model of the baseline in `folder`; a missing or damaged baseline is INCOMPARABLE, with the remedy.

    Raises:
        StoreError: the run to judge holds no results.
        DataError: the test set of the files cannot be used.
        RevisionError: the other commit cannot be checked out or installed.
    """
    try:
        baseline = load_baseline(folder)
    except DataError as error:
        fault = Decision("baseline", Verdict.INCOMPARABLE, f"{error.cause}; {error.remedy}")
        return GateOutcome((VerdictRow("cost", fault),), {}, describe_environment(), settings)
    with TemporaryDirectory() as scratch:
        candidates, rows = find_candidates(request, baseline, folder, Path(scratch) / "new", on_progress)
        for entry in baseline.entries:
            if candidate := candidates.get(entry.name):
                on_progress(f"comparing counts and accuracy of {entry.name}", 0.0)
                rows += _judge_exactly(entry, candidate, folder, settings)
        with _open_measure(request, settings, on_progress) as (measure, looks, revision):
            paths, unknown = find_baseline_paths(
                baseline, folder, Path(scratch) / "old", revision.software if revision else None, on_progress
            )
            benchmarks = make_benchmarks(baseline, candidates, paths, settings, request.extra_calls)
            taus = {name: settings.find_tau(name) for name in benchmarks}
            limit_s = None if revision else settings.timeout_s
            measure = announce_processes(measure, looks, limit_s, on_progress)
            pause = partial(pause_and_tell, on_progress=on_progress)
            decided = decide_with_retry(benchmarks, taus, measure, looks, pause) if benchmarks else {}
        changes = revision.list_changes(describe_versions()) if revision else ()
        timed = [VerdictRow("latency", replace(d, notes=(*d.notes, *changes))) for d in decided.values()]
    against = revision.describe() if revision else None
    described: dict[str, JsonValue] = {"reason": baseline.reason, "created": baseline.created, "against": against}
    beside = tuple(_list_beside(request, settings, baseline, candidates))
    return GateOutcome((*rows, *unknown, *timed), described, describe_environment(), settings, beside)


def _list_beside(
    request: GateRequest, settings: Settings, baseline: Baseline, candidates: dict[str, Candidate]
) -> Iterator[str]:
    """Yield the lines that are reported and decide nothing."""
    yield from list_unjudged(request, baseline)
    yield from list_unused(settings, baseline.entries)
    yield describe_noise(baseline, compute_machine_id())
    for entry in baseline.entries:
        if candidate := candidates.get(entry.name):
            yield from describe_training(entry, candidate)


def _judge_exactly(entry: Entry, candidate: Candidate, folder: Path, settings: Settings) -> list[VerdictRow]:
    rows = [VerdictRow("cost", decision) for decision in check_costs(entry, candidate, settings)]
    predictions = {training.seed: load_predictions(folder, training) for training in entry.trainings}
    decision = check_accuracy(entry, candidate, predictions, settings)
    return [*rows, VerdictRow("accuracy", decision)]


@contextmanager
def _open_measure(
    request: GateRequest, settings: Settings, on_progress: OnProgress
) -> Iterator[tuple[Measure, tuple[int, ...], Revision | None]]:
    """Open what measures a replicate: one process, or several where the software differs."""
    limit = {"timeout_s": settings.timeout_s}
    if request.against is None:

        def measure(benchmarks: Benchmarks, index: int) -> Replicate:
            return run_inproc(benchmarks, index, settings.n_rounds, on_progress, **limit)

        yield measure, INPROC, None
        return
    with open_revision(request.against, request.python, on_progress=on_progress) as revision:

        def measure_apart(benchmarks: Benchmarks, index: int) -> Replicate:
            return run_twoproc(benchmarks, index, TWOPROC_ROUNDS, on_progress, revision.software, **limit)

        yield measure_apart, TWOPROC, revision


def make_benchmarks(
    baseline: Baseline, candidates: dict[str, Candidate], paths: Paths, settings: Settings, extra_calls: float
) -> Benchmarks:
    """Make the benchmarks: every model that both sides have, by every backend and batch size of the settings.

    Raises:
        UsageError: the settings name a backend for which a model has no file.
    """
    benchmarks: Benchmarks = {}
    for entry in baseline.entries:
        for backend in settings.backends if entry.name in candidates and entry.name in paths else ():
            role = BACKENDS[backend].artifact_role
            if not all(role in files for files in (paths[entry.name], candidates[entry.name].paths)):
                raise UsageError(
                    f"settings: backends: {entry.name} has no {role} file", 'use backends = ["onnxruntime"]'
                )
            for batch in (entry.batch,) if entry.batch else settings.batches:
                benchmarks[name_benchmark(entry.name, backend, batch)] = GateBenchmark(
                    backend=backend,
                    batch=batch,
                    input_shape=entry.input_shape,
                    candidate_shape=candidates[entry.name].input_shape,
                    baseline=paths[entry.name][role].resolve(),
                    candidate=candidates[entry.name].paths[role].absolute(),  # a cache keeps files as links
                    extra_calls=extra_calls,
                )
    return benchmarks
