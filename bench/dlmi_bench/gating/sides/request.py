"""Request to the gate, and the files of both sides."""

from dataclasses import dataclass
from pathlib import Path

from dlmi_bench.errors import BenchError, UsageError, require
from dlmi_bench.files import resolve_inside
from dlmi_bench.gating.output import VerdictRow
from dlmi_bench.gating.sides.baseline import Baseline, Entry, file_path
from dlmi_bench.gating.sides.candidate import Candidate, export_candidate, load_candidate
from dlmi_bench.gating.sides.files import TASK, LabelledSet, load_file_candidate, load_labelled
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.jobs.worker import Software, Worker
from dlmi_bench.store import Store


@dataclass(frozen=True)
class GateRequest:
    """Candidate to judge: a run, or files; otherwise the baseline's weights, exported by this code.

    Attributes:
        out: Run whose models are judged.
        onnx: Files to judge, with the test set in `test`.
        against: Revision of this project whose code exports and runs the baseline, in processes of its own.
        python: Interpreter for that revision; by default one is found or made.
        extra_calls: Share of extra calls that the candidate makes, to try the gate.
    """

    out: Path | None = None
    onnx: tuple[Path, ...] = ()
    test: Path | None = None
    against: str | None = None
    python: Path | None = None
    extra_calls: float = 0.0

    def __post_init__(self) -> None:
        if bool(self.onnx) != bool(self.test):
            raise UsageError("ONNX files and their test set go together", "name both: --onnx FILE.onnx --test FILE.npz")
        if self.out and self.onnx:
            raise UsageError("--out and --onnx: the gate judges a run or files, not both", "leave one of them out")
        if self.against and self.onnx:
            raise UsageError("--against and --onnx: a file is the same with any commit", "leave one of them out")
        if self.python and not self.against:
            raise UsageError("--against-python without a commit", "name the commit: --against REV")


# Candidates by name, and a row for each model that is missing, unknown or cannot be used.
Found = tuple[dict[str, Candidate], list[VerdictRow]]


def find_candidates(
    request: GateRequest, baseline: Baseline, folder: Path, scratch: Path, on_progress: OnProgress
) -> Found:
    """Find all candidates of the request. One that fails gets a row; the others are still judged.

    Raises:
        StoreError: the run holds no results.
        DataError: the test set cannot be used.
        UnavailableError: weights are to be read, and torch is not installed.
    """
    if not request.onnx:
        require("torch", "weights of a run or a baseline")
    if request.out:
        on_progress(f"reading {request.out}", 0.0)
        return _find_in_run(request.out, baseline, folder)
    if request.onnx and request.test:
        return _find_files(request.onnx, load_labelled(request.test), baseline, on_progress)
    with Worker() as worker:
        return _export(baseline, folder, scratch, worker, on_progress)


def _find_in_run(out: Path, baseline: Baseline, folder: Path) -> Found:
    store = Store(out, must_exist=True)
    found: dict[str, Candidate] = {}
    rows = []
    for entry in baseline.entries:
        try:
            candidate = load_candidate(store, entry, folder)
        except BenchError as error:
            rows.append(refuse(entry.name, Verdict.INVALID, error.cause))
            continue
        if candidate is None:
            rows.append(refuse(entry.name, Verdict.INCOMPARABLE, f"in the baseline, but not in {out}"))
        else:
            found[entry.name] = candidate
    return found, rows


def list_unjudged(request: GateRequest, baseline: Baseline) -> list[str]:
    """Name in one line the models of a run that the baseline lacks, as they are not judged; empty without any."""
    if not request.out:
        return []
    known = {(entry.task, entry.model) for entry in baseline.entries}
    cells = [a.record.cell for a in Store(request.out, must_exist=True).current().values() if a.record]
    names = sorted({f"{c.task}/{c.model}" for c in cells if c.kind == "train" and (c.task, c.model) not in known})
    return [f"not judged, in the run only: {', '.join(names)}"] if names else []


def _find_files(paths: tuple[Path, ...], labelled: LabelledSet, baseline: Baseline, on_progress: OnProgress) -> Found:
    names = {f"{TASK}/{path.stem}": path for path in paths}
    known = [entry.name for entry in baseline.entries]
    vanished = f"in the baseline only; renamed to {' or '.join(names)}?"
    rows = [refuse(name, Verdict.INCOMPARABLE, vanished) for name in known if name not in names]
    rows += [refuse(name, Verdict.INCOMPARABLE, "not in the baseline; save it") for name in names if name not in known]
    found: dict[str, Candidate] = {}
    for name in known:
        if name in names:
            on_progress(f"running {names[name]} on {len(labelled.labels)} test examples", 0.0)
            try:
                found[name] = load_file_candidate(names[name], labelled)
            except BenchError as error:
                rows.append(refuse(name, Verdict.INVALID, error.cause))
    return found, rows


def _export(baseline: Baseline, folder: Path, scratch: Path, worker: Worker, on_progress: OnProgress) -> Found:
    """Export the baseline's weights with the software of `worker`."""
    found: dict[str, Candidate] = {}
    rows = []
    for entry in baseline.entries:
        if entry.task == TASK:
            rows.append(refuse(entry.name, Verdict.INCOMPARABLE, "no file to judge: name it with --onnx and --test"))
            continue
        on_progress(f"exporting {entry.name} and running it on the test set", 0.0)
        try:
            found[entry.name] = export_candidate(entry, folder, resolve_inside(scratch, entry.name), worker)
        except BenchError as error:
            rows.append(refuse(entry.name, Verdict.INVALID, f"cannot be exported: {error.cause}"))
    return found, rows


# Files of the baseline by model and role.
Paths = dict[str, dict[str, Path]]


def find_baseline_paths(
    baseline: Baseline, folder: Path, scratch: Path, software: Software | None, on_progress: OnProgress
) -> tuple[Paths, list[VerdictRow]]:
    """Find the baseline's files as saved or as the other software exports them; models that it lacks get a row."""
    if software is None:
        return {e.name: _list_paths(e, folder) for e in baseline.entries}, []
    with Worker(software=software) as worker:
        found, rows = _export(baseline, folder, scratch, worker, on_progress)
    return {name: candidate.paths for name, candidate in found.items()}, rows


def _list_paths(entry: Entry, folder: Path) -> dict[str, Path]:
    return {artifact.role: file_path(folder, artifact) for artifact in entry.artifacts}


def refuse(name: str, verdict: Verdict, why: str) -> VerdictRow:
    """Row of a model that cannot be judged."""
    return VerdictRow("cost", Decision(name, verdict, why=why.splitlines()[0]))
