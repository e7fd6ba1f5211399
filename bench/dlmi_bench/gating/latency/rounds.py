"""Rounds of baseline and candidate in one worker, with the controls that show whether the session can be trusted."""

from pathlib import Path

from dlmi_bench.backends import BACKENDS, Runner
from dlmi_bench.backends.examples import Examples
from dlmi_bench.gating.latency.benchmark import (
    SIDES,
    Failure,
    GateBenchmark,
    Prepared,
    PrepareSideRequest,
    Replicate,
    RoundRequest,
    RoundTime,
    SessionRequest,
    Timings,
)
from dlmi_bench.instruments.clock import HostClock
from dlmi_bench.instruments.latency import Plan, Trace, measure_latency, time_block
from dlmi_bench.instruments.onnx.ports import Signature
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.inputs import draw_examples
from dlmi_bench.jobs.protocol import OnProgress

# Enough calls in a block for a tenth of them to be at least one.
MIN_CALLS = 10
# Where that makes a block longer than usual, fewer of them average over as much time.
LONG_ROUNDS = 40


def run_inproc_job(request: SessionRequest, on_progress: OnProgress) -> Replicate:
    """Time both artifacts of every benchmark side by side in this process, which should be a fresh worker."""
    hopper = CpuHopper()
    answers: dict[str, Timings | Failure] = {}
    for index, (name, benchmark) in enumerate(request.benchmarks.items()):
        on_progress(name, index / len(request.benchmarks))
        try:
            answers[name] = _time_sides(benchmark, request, hopper)
        except Exception as error:  # noqa: BLE001 - an artifact may fail in any way; the other benchmarks still run
            answers[name] = Failure(f"{type(error).__name__}: {error}")
    return Replicate(answers, hopper.is_pinned)


def _time_sides(benchmark: GateBenchmark, request: SessionRequest, hopper: CpuHopper) -> Timings:
    """Interleave the four sides: twin is a second instance of the baseline, slowed a third with extra calls."""
    entry = BACKENDS[benchmark.backend]
    runners = {side: entry.load(benchmark.find_artifact(side)) for side in SIDES}
    inputs = make_inputs(benchmark.batch, benchmark.input_shape, runners["baseline"])
    calls = {side: runner.prepare(inputs) for side, runner in runners.items()}
    n_calls = benchmark.n_calls or _calibrate(runners["baseline"], inputs)
    counts = {side: round(n_calls * (1 + benchmark.find_extra_calls(side))) for side in SIDES}
    with runners["baseline"].active():
        n_rounds = request.n_rounds if n_calls > MIN_CALLS else min(request.n_rounds, LONG_ROUNDS)
        plan = Plan(n_rounds, request.order_seed, counts)
        traces = measure_latency(calls, plan, clock=entry.make_clock(), pin=hopper)
    return Timings(
        n_calls=n_calls,
        rounds_s={side: [s * counts[side] / n_calls for s in trace.wall_s] for side, trace in traces.items()},
        preempted_share={side: trace.preempted_share for side, trace in traces.items()},
        conditions={side: dict(runner.conditions) for side, runner in runners.items()},
    )


class Server:
    """One side of a two-process session: a worker that times a block of its own calls on request."""

    def __init__(self, benchmark: GateBenchmark, artifact: Path) -> None:
        self.runner = BACKENDS[benchmark.backend].load(artifact)
        inputs = make_inputs(benchmark.batch, benchmark.input_shape, self.runner)
        self.call = self.runner.prepare(inputs)
        self.base_calls = benchmark.n_calls or _calibrate(self.runner, inputs)
        self.n_calls = round(self.base_calls * (1 + benchmark.extra_calls))
        with self.runner.active():
            warm_up = Plan(n_rounds=1, n_calls={"side": self.n_calls})
            measure_latency({"side": self.call}, warm_up)

    def time_round(self, cpu: int | None) -> RoundTime:
        """Time one block; the clock stays in this process."""
        hopper = CpuHopper([cpu] if cpu is not None else None)
        hopper(0)
        trace = Trace(n_calls=self.n_calls)
        with self.runner.active():
            time_block("side", self.call, trace, HostClock())
        scale = self.n_calls / self.base_calls
        return RoundTime(trace.wall_s[0] * scale, trace.cpu_s[0] * scale, hopper.is_pinned)


_SERVERS: list[Server] = []  # the benchmark that this worker serves now


def run_prepare_job(request: PrepareSideRequest, _: OnProgress) -> Prepared:
    """Load and warm up one side, which later rounds time."""
    _SERVERS[:] = [Server(request.benchmark, request.artifact)]
    return Prepared(_SERVERS[0].base_calls, dict(_SERVERS[0].runner.conditions))


def run_round_job(request: RoundRequest, _: OnProgress) -> RoundTime:
    """Time one block of the side that was prepared before."""
    return _SERVERS[0].time_round(request.cpu)


def _calibrate(runner: Runner, inputs: Examples) -> int:
    """Calls per block, from a short run of the baseline alone."""
    with runner.active():
        trace: Trace = measure_latency({"baseline": runner.prepare(inputs)}, Plan(n_rounds=1))["baseline"]
    return max(MIN_CALLS, trace.n_calls)


def make_inputs(batch: int, input_shape: tuple[int, ...], runner: Runner | None = None) -> Examples:
    """Random inputs, the same in every process: a gate needs no data set to time two files.

    Args:
        input_shape: Shape of one example, (channel, height, width).
        runner: A file of other inputs than one of floating-point numbers says which they are.
    """
    signature = getattr(runner, "signature", None)
    if isinstance(signature, Signature) and len(signature.inputs) > 1:
        return draw_examples(signature.types, signature.example_shapes, batch)
    types = signature.types.values() if isinstance(signature, Signature) else ["float32"]
    return draw_examples({"": next(iter(types))}, {"": input_shape}, batch)
