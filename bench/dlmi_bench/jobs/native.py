"""The job that times a net inside C, in the worker that timed its calls."""

from pathlib import Path

import numpy as np

from dlmi_bench.backends.examples import Examples, arrange
from dlmi_bench.files import parsing
from dlmi_bench.instruments.latency import Plan
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.inputs import draw_examples, read_examples
from dlmi_bench.jobs.profile_protocol import NativeRequest
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.timing.measurement import N_INPUTS, NativeTimes, measure_net


@parsing("the net is not timed inside C", "check the file; other backends may run it")
def run_native_job(request: NativeRequest, _: OnProgress) -> NativeTimes:
    """Time a net inside C, alone on the machine.

    Raises:
        DataError: the file is not written in C.
        MeasurementError: its loops answer otherwise than the net.
    """
    net, signature = read_net(Path(request.path), **request.choices)
    (inputs,) = arrange(_find_examples(request.examples, net.input_shape), signature).values()
    plan = Plan(request.n_rounds, request.order_seed, request.n_calls)
    return measure_net(net, inputs, plan, pin=CpuHopper(request.cpus))


def _find_examples(path: str, shape: tuple[int, ...]) -> Examples:
    """The first N_INPUTS examples of the user's, again where they are fewer; else random ones."""
    if not path:
        return draw_examples({"": "float32"}, {"": shape}, N_INPUTS)
    examples = read_examples(Path(path))
    return examples[np.arange(N_INPUTS) % len(examples)]
