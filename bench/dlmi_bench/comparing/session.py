"""The session: all files on all runtimes, timed in turns in the same processes, and a record for each kind of cell."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from pydantic import JsonValue

from dlmi_bench.backends import BACKENDS
from dlmi_bench.comparing.files import ComparedFile
from dlmi_bench.comparing.settings import CompareSettings
from dlmi_bench.errors import BenchError
from dlmi_bench.instruments.host.provenance import describe_environment
from dlmi_bench.jobs.inputs import LabelledSet
from dlmi_bench.jobs.protocol import N_EXAMPLES, EnergyRequest, OnProgress
from dlmi_bench.jobs.sessions import Timing, make_latency_record, refuse_latency, run_latency_session, run_peaks
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Cell, CellKind, Figure, Record, unavailable


def measure_files(
    subjects: Mapping[str, Subject],
    test: LabelledSet | None,
    settings: CompareSettings,
    on_progress: OnProgress,
    *,
    task: str,
) -> tuple[list[Record], dict[str, str]]:
    """Measure ONNX files side by side.

    Args:
        subjects: The files by name.
        test: Examples and classes that all of them are judged by.
        task: Name of the test set, under which reports list the files.

    Returns:
        Records, and why files or runtimes have none.

    Raises:
        BenchError: of the last file, where none can be measured.
    """
    with TemporaryDirectory(prefix="dlmi-bench-") as scratch:
        files, failures = _read_files(subjects, settings, Path(scratch), on_progress)
        on_progress(f"{len(files)} files, about {format_minutes(settings, files)}", 0.0)
        for file in files:
            for backend in settings.backends:
                file.ask(backend, test, on_progress)
        _measure_energy(files, settings, on_progress)
        timings = _measure_latency(files, settings, on_progress)
        records = _make_records(files, timings, settings, test, task)
    return records, failures | {file.name: "\n".join(file.failures) for file in files if file.failures}


def _read_files(
    subjects: Mapping[str, Subject], settings: CompareSettings, folder: Path, on_progress: OnProgress
) -> tuple[list[ComparedFile], dict[str, str]]:
    """Read, count and prepare each file; one that cannot be costs itself only, and its reason is kept."""
    files: list[ComparedFile] = []
    failures: dict[str, str] = {}
    for index, (name, subject) in enumerate(subjects.items()):
        on_progress(f"{name}: reading", 0.0)
        file = ComparedFile(name, subject, folder / str(index))
        try:
            file.prepare(settings.backends, max(N_EXAMPLES, *settings.batches))
            files.append(file)
        except BenchError as error:
            if not files and index == len(subjects) - 1:
                raise
            failures[name] = str(error)
    return files, failures


def format_minutes(settings: CompareSettings, files: list[ComparedFile]) -> str:
    """Say how long the session will take."""
    seconds = settings.estimate_s([file.macs for file in files])
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _measure_energy(files: list[ComparedFile], settings: CompareSettings, on_progress: OnProgress) -> None:
    """Read the energy of each file on each runtime, in one worker, whose meter costs its start once."""
    with Worker() as worker:
        for file in files:
            for backend in settings.backends:
                on_progress(f"energy of {file.name} on {backend}", 0.0)
                file.energies += _ask_energy(file, backend, settings, worker)


def _ask_energy(file: ComparedFile, backend: str, settings: CompareSettings, worker: Worker) -> tuple[Figure, ...]:
    reason = file.reasons.get(backend, "") or ("" if worker.is_alive else "failed: the process ended with another file")
    if not reason:
        found, batch = file.files[backend], settings.batches[0]
        request = EnergyRequest(
            backend=backend,
            path=found.path,
            inputs=found.inputs,
            choices=found.choices,
            batch=batch,
            energy_window_s=settings.energy_window_s,
        )
        try:
            return worker.ask(request)
        except BenchError as error:
            reason = f"failed: {error.cause.splitlines()[0]}"
    common: dict[str, str | int] = {"backend": backend, "batch": settings.batches[0], "component": "cpu"}
    return tuple(
        unavailable("inference_energy_j", reason, **common, idle_subtracted=is_net) for is_net in (False, True)
    )


def _measure_latency(
    files: list[ComparedFile], settings: CompareSettings, on_progress: OnProgress
) -> dict[str, list[Timing]]:
    """Time all files of a runtime in the same processes, once for each number of threads."""
    found: dict[str, list[Timing]] = {file.name: [] for file in files}
    for backend in settings.backends:
        ready = {file.name: file.files[backend] for file in files if backend in file.files}
        for file in files:
            if file.name not in ready:
                found[file.name].append(Timing(refuse_latency(settings, file.reasons[backend], backend=backend)))
        for n_threads in ((1,) if BACKENDS[backend].is_cuda else settings.threads) if ready else ():
            session = run_latency_session(backend, ready, settings, on_progress, n_threads=n_threads)
            for name, timing in session.items():
                found[name].append(timing)
    return found


def _make_records(
    files: list[ComparedFile],
    timings: dict[str, list[Timing]],
    settings: CompareSettings,
    test: LabelledSet | None,
    task: str,
) -> list[Record]:
    """A record for each file and kind of cell, as a run writes them: reports and claims read both alike."""
    session, peaks = uuid4().hex, [figure for n in settings.threads for figure in run_peaks(n)]
    environment = {**describe_environment(), "suite": {"name": "compare", **settings.model_dump(mode="json")}}
    records: list[Record] = []
    for file in files:
        kinds: dict[CellKind, list[Figure]] = {
            "train": [*file.accuracies, *file.parities],
            "counts": file.counts,
            "memory": file.memories,
            "energy": file.energies,
        }
        cells = [Record(cell=Cell(kind=k, task=task, model=file.name), figures=tuple(f)) for k, f in kinds.items()]
        latency = Cell(kind="latency", task=task, model=file.name)
        made = [*cells, make_latency_record(latency, timings[file.name], peaks, session)]
        provenance = environment | _describe_test(test, task, file)
        records += [record.model_copy(update={"provenance": provenance}) for record in made]
    return records


def _describe_test(test: LabelledSet | None, task: str, file: ComparedFile) -> dict[str, JsonValue]:
    data: dict[str, JsonValue] = {
        "name": task,
        "source": "a file of the user's" if test else "none",
        "note": "Test set as it was given." if test else "No test set: random inputs.",
        "is_synthetic": False,
        "sha256": {**(test.sha256 if test else {})},
    }
    start: dict[str, JsonValue] = {"source": "elsewhere", "sha256": file.compute_sha256()}
    return {"data": data, "splits": {"test": len(test.labels)} if test else {}, "start": start}
