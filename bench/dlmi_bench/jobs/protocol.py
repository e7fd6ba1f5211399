"""Requests from the parent to a worker, one for each job, and their answers. Loads no torch.

A request names its job as `module:function`; the function takes the request and returns the answer. `Worker.ask` sends
it, so that type checkers and "find usages" follow a call from one process into the other.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import TypeAdapter

from dlmi_bench.backends import JUDGED_BACKEND
from dlmi_bench.instruments.host.neighbours import Neighbours
from dlmi_bench.instruments.latency import Trace
from dlmi_bench.instruments.roofline import Peak
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.records import Cell, Conditions, Figure, Plain, Record

Answer = TypeVar("Answer")
# Called with what is being done, in the job's own words, and the fraction of the job that is done.
OnProgress = Callable[[str, float], None]

EMPTY = "empty call"
NOT_FINITE = "the network's scores are not finite: training diverged"
# Examples that the runtimes are compared on; more where a batch is larger.
N_EXAMPLES = 16


class Request(Plain, Generic[Answer]):
    """Arguments of one job. A subclass declares them and names the job.

    Attributes:
        job: `module:function` of the job, imported in the worker only.
    """

    job: ClassVar[str]

    @classmethod
    def parse_answer(cls, content: Any) -> Answer:
        """Answer from plain JSON.

        Raises:
            ValidationError: it is not of the type that the request declares.
        """
        return cls._make_adapter().validate_python(content)

    @classmethod
    @cache
    def _make_adapter(cls) -> TypeAdapter[Answer]:
        (answer,) = next(
            base.__pydantic_generic_metadata__["args"]
            for base in cls.__mro__
            if issubclass(base, Request) and base.__pydantic_generic_metadata__["origin"] is Request
        )
        return TypeAdapter(answer)


Figures = tuple[Figure, ...]
# Cause and remedy of an error that costs one model or one file only.
Refusal = tuple[str, str]


class CellRequest(Request[Record]):
    """Do one cell."""

    cell: Cell


class TrainRequest(CellRequest):
    """Train one model, export it and evaluate the files.

    Attributes:
        out: Folder of the store.
        backends: Runtimes to evaluate, with their state.
        n_pictured: Test examples of each class to keep pictures of.
        is_compared: Whether the scores of each runtime are compared with those of float64.
        is_timed: Whether it has the machine to itself, and so is timed and metered.
    """

    job = "dlmi_bench.jobs.training:run_train_cell"
    out: str
    energy_window_s: float
    backends: dict[str, str]
    n_pictured: int
    is_compared: bool = False
    is_timed: bool = True


class TuneRequest(CellRequest):
    """Train one model by one recipe, for its validation alone.

    Attributes:
        tried: Fields of the recipe that differ from the recipe in use.
        fold: Which part of the training set validates, where the task cuts one; it also changes the seed.
    """

    job = "dlmi_bench.jobs.tuning:run_tuning_job"
    tried: dict[str, int | float | str]
    fold: int = 0


class ReferencesRequest(Request[Figures]):
    """Compute the figures of a task that need the data only."""

    job = "dlmi_bench.jobs.measurement:run_references_job"
    task: str


class CountsRequest(Request[Figures]):
    """Count a model or a file; `onnx` is a file of the same network.

    Attributes:
        is_sized: Whether to compute the size of the model's weights, of which there is no file.
        is_trained: Whether `onnx` holds trained weights, so that its packed size means something.
    """

    job = "dlmi_bench.jobs.counting:run_counts_job"
    subject: Subject
    onnx: str | None = None
    is_sized: bool = False
    is_trained: bool = False


class MemoryRequest(Request[Figures]):
    """Read the peak memory of one artifact. For a fresh worker."""

    job = "dlmi_bench.jobs.measurement:run_memory_job"
    backend: str
    path: str
    input_shape: tuple[int, ...]


class FirmwareRequest(Request[Figures]):
    """Make images for microcontrollers of one ONNX file, and run every test image on simulated cores.

    Attributes:
        seed_index: Of the training, whose splits are taken.
        targets: Names; see `firmware.targets`.
    """

    job = "dlmi_bench.jobs.firmware:run_firmware_job"
    task: str
    seed_index: int
    path: str
    targets: tuple[str, ...]


class EnergyRequest(Request[Figures]):
    """Read the energy of inferences of one artifact; `inputs` is the path of examples, .npy or .npz."""

    job = "dlmi_bench.jobs.measurement:run_energy_job"
    backend: str
    path: str
    inputs: str
    energy_window_s: float
    batch: int = 1
    choices: dict[str, Any] = {}


class PeaksRequest(Request[tuple[Peak, ...]]):
    """Measure what the machine can do at best. For a fresh worker of as many threads."""

    job = "dlmi_bench.jobs.measurement:run_peaks_job"
    n_threads: int


class ModelFiles(Plain):
    """Paths of an artifact, of the examples that it is timed on, and of its scores of them, which it must repeat.

    Where the examples are fewer than a batch they come again. `choices` are those of `BackendEntry.load`.
    """

    path: str
    inputs: str
    scores: str
    choices: dict[str, Any] = {}


class LatencyAnswer(Plain):
    """One process of a latency session.

    Attributes:
        traces: By benchmark, `model@batch` or EMPTY.
        conditions: By model.
        wrong: Models whose timed answers were wrong.
    """

    traces: dict[str, Trace]
    conditions: dict[str, Conditions]
    neighbours: Neighbours
    is_pinned: bool
    wrong: dict[str, Refusal]


class LatencyRequest(Request[LatencyAnswer]):
    """Time all models of one backend, interleaved. For a fresh worker.

    Attributes:
        n_calls: Calls per block by benchmark; empty in the first process, which calibrates.
        models: By name.
    """

    job = "dlmi_bench.jobs.measurement:run_latency_job"
    backend: str
    batches: tuple[int, ...]
    n_rounds: int
    n_threads: int
    order_seed: int
    n_calls: dict[str, int]
    models: dict[str, ModelFiles]


class NoiseAnswer(Plain):
    """Mean time of a call by block, of both sides [s], and calls per block."""

    a_s: tuple[float, ...]
    b_s: tuple[float, ...]
    n_calls: int


class NoiseRequest(Request[NoiseAnswer]):
    """Time a net against itself; with `n_calls` 0 the process calibrates. For a fresh worker."""

    job = "dlmi_bench.jobs.noise:run_noise_job"
    n_rounds: int
    order_seed: int
    n_calls: int


class PredictRequest(Request[Conditions]):
    """Write the scores of images by one artifact.

    Attributes:
        images: Path of an .npy file, or of an .npz file where there are several inputs.
        scores: Path of the .npy file to write.
        choices: See `BackendEntry.load`.
    """

    job = "dlmi_bench.jobs.evaluation:run_predict_job"
    backend: str
    path: str
    images: str
    scores: str
    choices: dict[str, Any] = {}


def scores_role(backend: str) -> str:
    """Role of the validation scores that a timed run of the backend must repeat."""
    return "validation_scores" if backend == JUDGED_BACKEND else f"validation_scores-{backend}"
