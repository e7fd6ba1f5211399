"""One compared file: what is made of it, asked of it and read from it, before it is timed beside the others."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import BenchError
from dlmi_bench.jobs.inputs import LabelledSet
from dlmi_bench.jobs.profile_protocol import LoadRequest, PrepareAnswer, PrepareRequest
from dlmi_bench.jobs.protocol import N_EXAMPLES, CountsRequest, ModelFiles, OnProgress, PredictRequest
from dlmi_bench.jobs.sessions import run_accuracy
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Figure, unavailable

NO_TEST = "no test set; name one with --test"
UNSEEN = ("peak_bytes", "peak_added_bytes", "max_score_error", "score_rmse_ratio", "decision_disagreement")


@dataclass
class ComparedFile:
    """One file, and what has become known of it.

    Attributes:
        folder: For what is made of it.
        files: By runtime, what a latency session needs.
        reasons: Why a runtime has no figures.
    """

    name: str
    subject: Subject
    folder: Path
    counts: list[Figure] = field(default_factory=list)
    accuracies: list[Figure] = field(default_factory=list)
    parities: list[Figure] = field(default_factory=list)
    memories: list[Figure] = field(default_factory=list)
    energies: list[Figure] = field(default_factory=list)
    files: dict[str, ModelFiles] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    prepared: PrepareAnswer | None = None

    @property
    def path(self) -> Path:
        return Path(self.subject.name)

    @property
    def macs(self) -> float:
        """Multiply-accumulates of an example; 0 where they could not be counted."""
        return next((f.value for f in self.counts if f.name == "macs" and f.value is not None), 0.0)

    def compute_sha256(self) -> str:
        """Hash of the file itself, without weights that lie beside it."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def prepare(self, backends: tuple[str, ...], n_examples: int) -> None:
        """Count the file, and write its examples, its reference answers and what runtimes need that load no ONNX file.

        Raises:
            BenchError: it cannot be read, counted or run.
        """
        self.folder.mkdir()
        with Worker() as worker:
            self.counts = [*worker.ask(CountsRequest(subject=self.subject))]
            request = PrepareRequest(
                subject=self.subject,
                folder=str(self.folder),
                n_examples=max(N_EXAMPLES, n_examples),
                backends=backends,
            )
            self.prepared = worker.ask(request)
        self.counts += self._list_sizes(backends)
        for backend in backends:
            if reason := self._find_reason(backend):
                self._refuse(backend, f"not available: {reason}")

    def _list_sizes(self, backends: tuple[str, ...]) -> list[Figure]:
        """Sizes of the files that were made of this one."""
        assert self.prepared
        roles = {BACKENDS[backend].artifact_role for backend in backends} & self.prepared.paths.keys() - {"onnx"}
        return [
            Figure(
                name="size_bytes",
                value=Path(self.prepared.paths[role]).stat().st_size,
                kind="counted",
                source="file",
                conditions={"artifact": role},
            )
            for role in sorted(roles)
        ]

    def _find_reason(self, backend: str) -> str:
        assert self.prepared
        role = BACKENDS[backend].artifact_role
        if missing := self.prepared.missing[backend]:
            return missing
        if role in self.prepared.errors:
            return self.prepared.errors[role][0]
        return "" if role in self.prepared.paths else "this runtime loads no ONNX file"

    def _refuse(self, backend: str, reason: str) -> None:
        self.reasons[backend] = reason
        self.accuracies.append(unavailable("test_accuracy", reason, backend=backend))
        for name in UNSEEN:
            figures = self.memories if name.startswith("peak") else self.parities
            figures.append(unavailable(name, reason, backend=backend))

    def ask(self, backend: str, labels: LabelledSet | None, on_progress: OnProgress) -> None:
        """Answer the test set, in a process of its own; then load in another one, for memory and agreement."""
        assert self.prepared
        if backend in self.reasons:
            return
        path, images = self.prepared.paths[BACKENDS[backend].artifact_role], self.prepared.paths["images"]
        on_progress(f"{self.name} on {backend}", 0.0)
        try:
            scores = self._predict(backend, path, images)
            self.files[backend] = ModelFiles(path=path, inputs=images, scores=scores, choices=self.subject.choices)
            if labels is not None:
                self.accuracies.append(run_accuracy(backend, path, labels, self.subject.choices))
            else:
                self.accuracies.append(unavailable("test_accuracy", NO_TEST, backend=backend))
            self._load(backend, path)
        except BenchError as error:
            self.files.pop(backend, None)
            self.failures.append(f"{self.name} on {backend}: {error}")
            self._refuse(backend, f"failed: {error.cause.splitlines()[0]}")

    def _predict(self, backend: str, path: str, images: str) -> str:
        """Path of the scores of these examples."""
        scores = str(self.folder / f"{backend}-{Path(images).stem}.npy")
        request = PredictRequest(backend=backend, path=path, images=images, scores=scores, choices=self.subject.choices)
        with Worker() as worker:
            worker.ask(request)
        return scores

    def _load(self, backend: str, path: str) -> None:
        assert self.prepared
        request = LoadRequest(
            subject=self.subject,
            backend=backend,
            paths=self.prepared.paths | {"artifact": path},
            batches=(self.subject.batch,),
            cpu=None,
            is_first=True,
        )
        with Worker() as worker:
            figures = worker.ask(request).figures
        self.memories += [f for f in figures if f.name.startswith("peak")]
        self.parities += [f for f in figures if not f.name.startswith("peak")]


def choose_names(paths: list[Path]) -> list[str]:
    """Name each file like itself without the suffix, and with its folder where two are called alike."""
    stems = [path.stem for path in paths]
    return [p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}/{p.stem}" for p in paths]
