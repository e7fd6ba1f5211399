"""Requests of a profile to its workers, and their answers. Loads no torch."""

from typing import Any

from dlmi_bench.instruments.host.neighbours import Neighbours
from dlmi_bench.instruments.latency import Trace
from dlmi_bench.jobs.protocol import Figures, Refusal, Request
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.native.timing.measurement import NativeTimes
from dlmi_bench.records import Conditions, Plain


class PrepareAnswer(Plain):
    """Paths by role, why roles are lacking that cannot be made, and what each backend lacks on this machine."""

    paths: dict[str, str]
    errors: dict[str, Refusal]
    missing: dict[str, str]


class PrepareRequest(Request[PrepareAnswer]):
    """Build a model, write inputs, reference outputs and every artifact. For a fresh worker."""

    job = "dlmi_bench.jobs.profile:run_prepare_job"
    subject: Subject
    folder: str
    n_examples: int
    backends: tuple[str, ...]


class LoadAnswer(Plain):
    """Time from the file to the first answer, and of the first process figures of memory and agreement."""

    figures: Figures
    conditions: Conditions
    load_s: float


class LoadRequest(Request[LoadAnswer]):
    """Load one runtime, alone on its CPU while others load too. The first job of a fresh worker.

    Attributes:
        paths: Of its `artifact`, `images`, `eager`, `reference`, `no_reference` and `tolerance`.
        cpu: To pin to, with one thread; None where the system does not pin.
    """

    job = "dlmi_bench.jobs.profile:run_load_job"
    subject: Subject
    backend: str
    paths: dict[str, str]
    batches: tuple[int, ...]
    cpu: int | None
    is_first: bool
    n_threads: int = 1


class RoundsAnswer(Plain):
    """Traces by batch, and what else went on."""

    traces: dict[str, Trace]
    neighbours: Neighbours
    is_pinned: bool


class RoundsRequest(Request[RoundsAnswer]):
    """Time what was loaded, alone on the machine; calls of the batch `single` are timed one by one too."""

    job = "dlmi_bench.jobs.profile:run_rounds_job"
    n_rounds: int
    order_seed: int
    n_calls: dict[str, int]
    single: str
    cpus: tuple[int, ...]
    n_threads: int = 1


class CallsRequest(Request[None]):
    """Make calls of the loaded runtime: work for the parent's energy meter."""

    job = "dlmi_bench.jobs.profile:run_calls_job"
    batch: int
    n_calls: int


class NativeRequest(Request[NativeTimes]):
    """Time a net inside C, alone on the machine.

    Attributes:
        path: Of the ONNX file.
        examples: Path of the user's examples; random ones are drawn where it is empty.
        choices: See `BackendEntry.load`.
    """

    job = "dlmi_bench.jobs.native:run_native_job"
    path: str
    examples: str
    n_rounds: int
    order_seed: int
    n_calls: dict[str, int]
    cpus: tuple[int, ...]
    choices: dict[str, Any] = {}
