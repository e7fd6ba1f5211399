"""What a gate is asked to judge, and where the files of both sides come from."""

from dataclasses import dataclass
from pathlib import Path

from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.gate.output import Row
from dlmi_bench.gate.sides.baseline import Baseline, Entry, file_path
from dlmi_bench.gate.sides.candidate import Candidate, export_candidate, load_candidate
from dlmi_bench.gate.sides.files import TASK, LabelledSet, load_file_candidate, load_labelled
from dlmi_bench.gate.verdicts import Decision, Verdict
from dlmi_bench.jobs.worker import Software, Worker
from dlmi_bench.store import Store


@dataclass(frozen=True)
class Subject:
    """The candidate: a run, or files; else the baseline's weights, exported anew by this code.

    Attributes:
        out: A run whose models are judged.
        onnx: Files that are judged, by the test set in `test`.
        against: Revision of this project whose code exports and runs the baseline, in processes of its own.
        python: Interpreter for that revision; else one is found or made for it.
        extra_calls: Share of calls that the candidate makes too many, to try the gate out.
    """

    out: Path | None = None
    onnx: tuple[Path, ...] = ()
    test: Path | None = None
    against: str | None = None
    python: Path | None = None
    extra_calls: float = 0.0

    def __post_init__(self) -> None:
        if bool(self.onnx) != bool(self.test):
            raise UsageError("ONNX files are judged by a test set", "name both: --onnx FILE.onnx --test FILE.npz")
        if self.out and self.onnx:
            raise UsageError("either a run is judged or files", "leave --out or --onnx out")
        if self.against and self.onnx:
            raise UsageError("a file is the same in any commit of this project", "leave --against or --onnx out")
        if self.python and not self.against:
            raise UsageError("an interpreter for no other commit", "name the commit: --against REV")


# Candidates by name, and a row for each model that is missing, unknown or cannot be used.
Found = tuple[dict[str, Candidate], list[Row]]


def find_candidates(subject: Subject, baseline: Baseline, folder: Path, scratch: Path) -> Found:
    """All candidates of the subject. One that fails gets a row and does not take the others along.

    Raises:
        StoreError: no results where the run should be.
        DataError: the test set cannot be used.
    """
    if subject.out:
        return _find_in_run(subject.out, baseline, folder)
    if subject.onnx and subject.test:
        return _find_files(subject.onnx, load_labelled(subject.test), baseline)
    with Worker() as worker:
        return _export(baseline, folder, scratch, worker)


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


def list_strangers(subject: Subject, baseline: Baseline) -> list[str]:
    """A line on the models of a run that the baseline does not know: they are judged by nothing, but not in silence."""
    if not subject.out:
        return []
    known = {(entry.task, entry.model) for entry in baseline.entries}
    cells = [a.record.cell for a in Store(subject.out, must_exist=True).current().values() if a.record]
    names = sorted({f"{c.task}/{c.model}" for c in cells if c.kind == "train" and (c.task, c.model) not in known})
    return [f"not judged, in the run only: {', '.join(names)}"] if names else []


def _find_files(paths: tuple[Path, ...], labelled: LabelledSet, baseline: Baseline) -> Found:
    names = {f"{TASK}/{path.stem}": path for path in paths}
    known = [entry.name for entry in baseline.entries]
    vanished = f"in the baseline only; renamed to {' or '.join(names)}?"
    rows = [refuse(name, Verdict.INCOMPARABLE, vanished) for name in known if name not in names]
    rows += [refuse(name, Verdict.INCOMPARABLE, "not in the baseline; save it") for name in names if name not in known]
    found: dict[str, Candidate] = {}
    for name in known:
        if name in names:
            try:
                found[name] = load_file_candidate(names[name], labelled)
            except BenchError as error:
                rows.append(refuse(name, Verdict.INVALID, error.cause))
    return found, rows


def _export(baseline: Baseline, folder: Path, scratch: Path, worker: Worker) -> Found:
    """The baseline's weights by the software of `worker`."""
    found: dict[str, Candidate] = {}
    rows = []
    for entry in baseline.entries:
        if entry.task == TASK:
            rows.append(refuse(entry.name, Verdict.INCOMPARABLE, "no new file: name it with --onnx and --test"))
            continue
        try:
            found[entry.name] = export_candidate(entry, folder, scratch / entry.name, worker)
        except BenchError as error:
            rows.append(refuse(entry.name, Verdict.INVALID, f"cannot be exported: {error.cause}"))
    return found, rows


# Files of the baseline by model and role.
Paths = dict[str, dict[str, Path]]


def find_baseline_paths(
    baseline: Baseline, folder: Path, scratch: Path, software: Software | None
) -> tuple[Paths, list[Row]]:
    """As they were saved, or as the other software exports them, with a row for each model that it does not know."""
    if software is None:
        return {e.name: _list_paths(e, folder) for e in baseline.entries}, []
    with Worker(software=software) as worker:
        found, rows = _export(baseline, folder, scratch, worker)
    return {name: candidate.paths for name, candidate in found.items()}, rows


def _list_paths(entry: Entry, folder: Path) -> dict[str, Path]:
    return {artifact.role: file_path(folder, artifact) for artifact in entry.artifacts}


def refuse(name: str, verdict: Verdict, why: str) -> Row:
    """A row for a model that did not come to be judged."""
    return Row("cost", Decision(name, verdict, why=why.splitlines()[0]))
