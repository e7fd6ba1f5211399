"""The machine's own noise: a small net timed against itself, in fresh processes, by the rules of every latency here."""

from itertools import pairwise

import numpy as np

from dlmi_bench.instruments.clock import Stopwatch
from dlmi_bench.jobs.protocol import NoiseAnswer, NoiseRequest, OnProgress
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.stats.resolution import Noise, compute_noise

BUDGET_S = 25.0
MIN_PROCESSES, MAX_PROCESSES = 3, 30
N_ROUNDS = 100
SIZES = (256, 64, 32, 10)  # the course's net: microseconds, where noise shows most


def measure_noise(on_progress: OnProgress, *, budget_s: float = BUDGET_S, n_rounds: int = N_ROUNDS) -> Noise:
    """Fresh processes, one after the other, until the time is spent; this one sleeps."""
    rounds: list[tuple[list[float], list[float]]] = []
    n_calls = 0
    watch = Stopwatch()
    while len(rounds) < MAX_PROCESSES and (len(rounds) < MIN_PROCESSES or watch.total_s < budget_s):
        on_progress(f"process {len(rounds) + 1}", min(1.0, watch.total_s / budget_s))
        with watch, Worker(len(rounds)) as worker:
            answer = worker.ask(NoiseRequest(n_rounds=n_rounds, order_seed=len(rounds), n_calls=n_calls))
        n_calls = answer.n_calls
        rounds.append(([*answer.a_s], [*answer.b_s]))
    return compute_noise(rounds, watch.total_s / len(rounds))


def run_noise_job(request: NoiseRequest, _: OnProgress) -> NoiseAnswer:
    """Time a net against itself; with `n_calls` 0 calibrate first. For a fresh worker."""
    from dlmi_bench.backends.onnxrt import OnnxRunner
    from dlmi_bench.instruments.latency import Plan, measure_latency
    from dlmi_bench.instruments.pinning import CpuHopper

    model = make_model()
    inputs = np.random.default_rng(0).standard_normal((1, SIZES[0])).astype(np.float32)
    calls = {side: OnnxRunner(model, n_threads=1).prepare(inputs) for side in ("a", "b")}
    n_calls = request.n_calls or measure_latency({"a": calls["a"]}, Plan(n_rounds=1))["a"].n_calls
    plan = Plan(request.n_rounds, request.order_seed, dict.fromkeys(calls, n_calls))
    traces = measure_latency(calls, plan, pin=CpuHopper())
    return NoiseAnswer(a_s=tuple(traces["a"].wall_s), b_s=tuple(traces["b"].wall_s), n_calls=n_calls)


def make_model() -> bytes:
    """A fully connected net of SIZES with random weights, as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper

    generator, nodes, weights, name = np.random.default_rng(0), [], [], "input"
    for index, (n_in, n_out) in enumerate(pairwise(SIZES)):
        weight = generator.standard_normal((n_in, n_out)).astype(np.float32) / n_in**0.5
        weights.append(numpy_helper.from_array(weight, f"weight{index}"))
        nodes.append(helper.make_node("MatMul", [name, f"weight{index}"], [f"sum{index}"]))
        nodes.append(helper.make_node("Relu", [f"sum{index}"], [f"out{index}"]))
        name = f"out{index}"
    ports = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, SIZES[0]]),
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, SIZES[-1]]),
    ]
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()
