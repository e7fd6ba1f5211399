"""One runtime's row of a profile: the processes behind it, and the figures that come of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import BenchError, MeasurementError
from dlmi_bench.instruments.energy import Idle, Meter, measure_energy
from dlmi_bench.instruments.energy_figures import make_energy_figures
from dlmi_bench.instruments.host.neighbours import list_complaints
from dlmi_bench.instruments.latency_figures import make_latency_figures
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.inputs import LabelledSet
from dlmi_bench.jobs.profile_protocol import (
    CallsRequest,
    LoadAnswer,
    LoadRequest,
    NativeRequest,
    RoundsAnswer,
    RoundsRequest,
)
from dlmi_bench.jobs.protocol import EMPTY
from dlmi_bench.jobs.sessions import run_accuracy
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.native.timing.figures import make_native_figures, refuse_native
from dlmi_bench.native.timing.measurement import NativeTimes
from dlmi_bench.records import Figure, unavailable

N_ROUNDS = 50
ENERGY_WINDOW_S = 1.0
# Calls that the worker makes on one word of the parent's: long against the word.
ENERGY_CALLS_S = 0.2


@dataclass(frozen=True)
class ProfileContext:
    """Values that all rows of a profile share.

    Attributes:
        paths: Artifacts by role, and the arrays to compare with.
        meter: Of energy; its first start lies behind it.
        idle: The machine at rest, read by it.
    """

    subject: Subject
    batches: tuple[int, ...]
    paths: dict[str, str]
    meter: Meter
    idle: Idle | None = None
    n_threads: int = 1


@dataclass
class RuntimeProfile:
    """One runtime: its figures, or why there are none. What this machine or this kind of model lacks is no failure.

    Attributes:
        loads, rounds: Answers of its processes, one each.
        natives: The same, of runtimes that are timed inside C too.
        no_native: Why the first of them has none.
        took_s: What the last process cost, without the energy, which only the first one is asked for.
    """

    backend: str
    figures: list[Figure] = field(default_factory=list)
    error: str = ""
    remedy: str = ""
    is_missing: bool = False
    loads: list[LoadAnswer] = field(default_factory=list)
    rounds: list[RoundsAnswer] = field(default_factory=list)
    natives: list[NativeTimes] = field(default_factory=list)
    no_native: str = ""
    took_s: float = 0.0

    def fail(self, cause: str, remedy: str) -> None:
        self.error, self.remedy, self.figures = cause, remedy, []

    def find(self, name: str, **conditions: object) -> Figure | None:
        """The first figure of that name that meets all of `conditions`."""
        for figure in self.figures:
            if figure.name == name and all(figure.conditions.get(k) == v for k, v in conditions.items()):
                return figure
        return None

    def load(self, worker: Worker, context: ProfileContext, cpu: int | None) -> None:
        """Load, compile and compare in a fresh process, pinned to `cpu`; others may do the same on theirs."""
        request = LoadRequest(
            subject=context.subject,
            backend=self.backend,
            paths=context.paths | {"artifact": context.paths[BACKENDS[self.backend].artifact_role]},
            batches=context.batches,
            cpu=cpu,
            is_first=not self.loads,
            n_threads=context.n_threads,
        )
        begin_s = time.monotonic()
        try:
            self.loads.append(worker.ask(request))
            self.figures += self.loads[-1].figures
        except BenchError as error:
            self.fail(error.cause, error.remedy)
        self.took_s = time.monotonic() - begin_s

    def measure(self, worker: Worker, context: ProfileContext) -> None:
        """Time the loaded calls, alone on the machine; the first process then makes them for the energy meter."""
        first = self.rounds[0].traces if self.rounds else {}
        request = RoundsRequest(
            n_rounds=N_ROUNDS,
            order_seed=len(self.rounds),
            n_calls={name: trace.n_calls for name, trace in first.items()},
            single=str(context.batches[0]),
            cpus=tuple(list_cpus()),
            n_threads=context.n_threads,
        )
        begin_s = time.monotonic()
        try:
            self.rounds.append(worker.ask(request))
            if BACKENDS[self.backend].is_native and not self.no_native:
                self._measure_native(worker, context)
            self.took_s += time.monotonic() - begin_s
            if not first:
                self.figures += self._measure_energy(worker, context)
        except BenchError as error:
            self.fail(error.cause, error.remedy)

    def _measure_native(self, worker: Worker, context: ProfileContext) -> None:
        """Time the same net inside C; where that fails, the row's other figures stay."""
        first = self.natives[0].traces if self.natives else {}
        request = NativeRequest(
            path=context.paths[BACKENDS[self.backend].artifact_role],
            examples=context.subject.examples,
            n_rounds=N_ROUNDS,
            order_seed=len(self.natives),
            n_calls={name: trace.n_calls for name, trace in first.items()},
            cpus=tuple(list_cpus()),
            choices=context.subject.choices,
        )
        try:
            self.natives.append(worker.ask(request))
        except BenchError as error:
            self.no_native = error.cause

    def judge(self, context: ProfileContext, labelled: LabelledSet) -> None:
        """Read the accuracy on a test set, in a fresh process."""
        path = context.paths[BACKENDS[self.backend].artifact_role]
        try:
            self.figures.append(run_accuracy(self.backend, path, labelled, context.subject.choices))
        except BenchError as error:
            reason = f"failed: {error.cause.splitlines()[0]}"
            self.figures.append(unavailable("test_accuracy", reason, backend=self.backend))

    def _measure_energy(self, worker: Worker, context: ProfileContext) -> list[Figure]:
        batch, name = context.batches[0], "inference_energy_j"
        call_s = median(self.rounds[0].traces[str(batch)].wall_s)
        request = CallsRequest(batch=batch, n_calls=max(1, round(ENERGY_CALLS_S / call_s)))

        def work() -> None:
            worker.ask(request)

        try:
            sample = measure_energy(work, context.meter, min_window_s=ENERGY_WINDOW_S, idle=context.idle)
        except MeasurementError as error:  # of the meter: the row's other figures stay
            return [unavailable(name, error.cause, backend=self.backend, batch=batch)]
        n_inferences = batch * request.n_calls
        return make_energy_figures(name, sample, backend=self.backend, batch=batch, n_inferences=n_inferences)

    def summarise(self, batches: Sequence[int]) -> None:
        """Figures of latency from all processes."""
        self.figures.append(_make_load_figure(self.loads))
        is_pinned = all(answer.is_pinned for answer in self.rounds)
        complaints = list_complaints([answer.neighbours for answer in self.rounds])
        for batch in batches:
            traces, floors = ([answer.traces[name] for answer in self.rounds] for name in (str(batch), EMPTY))
            conditions = {**self.loads[0].conditions, "batch": batch}
            made = make_latency_figures(
                traces, floors, is_pinned=is_pinned, conditions=conditions, complaints=complaints
            )
            # These processes have answered before they are timed; from the file on, `load_s` has the first answer.
            self.figures += [figure for figure in made if figure.name != "cold_start_s"]
        if self.natives:
            self.figures += make_native_figures(self.natives, self.loads[0].conditions)
        elif self.no_native:
            self.figures += refuse_native(self.no_native, self.loads[0].conditions)


def _make_load_figure(loads: list[LoadAnswer]) -> Figure:
    times = [answer.load_s for answer in loads]
    return Figure(
        name="load_s",
        value=times[0],
        lo=min(times),
        hi=max(times),
        interval="min and max over processes",
        kind="measured",
        source="perf_counter_ns",
        method="from the file to the first answer in the first process, one to a CPU; a compiler may have a cache",
        n=len(times),
        conditions=loads[0].conditions,
    )
