"""Times of a net inside C, beside what this core can do at the same moment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.host.caches import Cache, read_caches
from dlmi_bench.instruments.latency import Plan, Trace, measure_latency
from dlmi_bench.instruments.roofline import Peak
from dlmi_bench.native.library import Floats, load_library, run_net
from dlmi_bench.native.net import Net
from dlmi_bench.native.timing.loops import Loop, LoopClock, make_loop
from dlmi_bench.native.timing.rates import measure_rates
from dlmi_bench.native.timing.shared import N_SHARED, find_obstacle, load_shared_library

N_INPUTS = 60  # different examples of the ring, a multiple of N_SHARED
EACH, SHARED = "each", "shared"
TOLERANCE = 1e-5  # of the largest answer: sums are added up in another order


@dataclass(frozen=True)
class NativeTimes:
    """What one process measured.

    Attributes:
        traces: By way, EACH example a call of its own or weights SHARED; a call is a pass over N_INPUTS examples.
        obstacle: Reason why there is none of the second; empty if there is.
        macs, weight_bytes: Of one example: multiply-accumulates in float32, and bytes of the parameters.
        peaks: Arithmetic, and reading from each of `caches`.
        caches: Empty where the kernel does not show them.
    """

    traces: dict[str, Trace]
    obstacle: str
    macs: int
    weight_bytes: int
    peaks: tuple[Peak, ...]
    caches: tuple[Cache, ...]


def measure_net(net: Net, inputs: Floats, plan: Plan, *, pin: Callable[[int], object] | None = None) -> NativeTimes:
    """Time a net inside C.

    Counts: a call of the net's function by its address, reading the input, writing the scores. Leaves out: every call
    from Python, and copying examples into place.

    Args:
        inputs: N_INPUTS different examples (n, ...), float32.
        pin: See `measure_latency`.

    Raises:
        UnavailableError: no compiler works.
        MeasurementError: the loops answer otherwise than the net.
    """
    library, obstacle = load_library(net), find_obstacle(net)
    calls = {EACH: make_loop(library, inputs, net.output_shape)}
    if not obstacle:
        calls[SHARED] = make_loop(load_shared_library(net), inputs, net.output_shape, n_at_once=N_SHARED)
    traces = measure_latency(calls, plan, clock=LoopClock(), pin=pin)
    check_answers(calls, run_net(library, net, inputs))
    caches, weight_bytes = read_caches(), net.parameter_bytes
    peaks = measure_rates(caches, weight_bytes)
    return NativeTimes(traces, obstacle, net.float_macs, weight_bytes, tuple(peaks), caches)


def check_answers(calls: dict[str, Loop], expected: Floats) -> None:
    """What was timed must have answered every input, within rounding.

    Raises:
        MeasurementError: it did not.
    """
    for name, loop in calls.items():
        worst = float(np.abs(loop.outputs - expected).max())
        if not worst <= TOLERANCE * float(np.abs(expected).max()):
            raise MeasurementError(
                f"the loop in C ({name}) answers otherwise than the net, by up to {worst:.1e}",
                "report it with the ONNX file; its times are those of another program",
            )
