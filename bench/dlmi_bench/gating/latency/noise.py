"""A/A noise of a machine: ratios that its processes measure when every model is compared with itself."""

import math
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.errors import MeasurementError
from dlmi_bench.gating.latency.benchmark import Benchmarks, Failure, GateBenchmark, Timings, name_benchmark
from dlmi_bench.gating.latency.decision import ALPHA, INPROC
from dlmi_bench.gating.latency.session import run_inproc
from dlmi_bench.gating.sides.baseline import Baseline, Entry, MachineNoise, file_path, load_baseline, write_manifest
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.stats.intervals import compute_sd, compute_t_interval
from dlmi_bench.stats.ratios import compute_log_ratio
from dlmi_bench.units import format_share

N_ROUNDS = 100
NOISY_SHARE = 0.1  # share of blocks above which the machine was busier than usual


def record_noise(folder: Path, n_processes: int, on_progress: OnProgress) -> MachineNoise:
    """Run every ONNX file of the baseline against itself, at batch 1 or its own, and keep the ratios in the manifest.

    Raises:
        DataError: the baseline is missing or damaged.
        MeasurementError: a model cannot be timed.
    """
    baseline = load_baseline(folder)
    benchmarks = {
        name_benchmark(e.name, "onnxruntime", e.batch or 1): pair_with_itself(e, folder) for e in baseline.entries
    }
    answers = [_run_process(benchmarks, index, on_progress) for index in range(n_processes)]
    noise = MachineNoise(
        n_rounds=N_ROUNDS,
        log_ratios={name: tuple(_read(answer[name].rounds_s) for answer in answers) for name in benchmarks},
        preempted_share=max(max(timings.preempted_share.values()) for a in answers for timings in a.values()),
    )
    write_manifest(folder, baseline.model_copy(update={"noise": noise}))
    return noise


def _run_process(benchmarks: Benchmarks, index: int, on_progress: OnProgress) -> dict[str, Timings]:
    """Time all benchmarks in one process, and keep the calls per block for the next one in `benchmarks`."""
    found: dict[str, Timings] = {}
    for name, answer in run_inproc(benchmarks, index, N_ROUNDS, on_progress).benchmarks.items():
        if isinstance(answer, Failure):
            raise MeasurementError(f"{name}: {answer.error}", "fix the model, or leave the noise out: --noise 0")
        benchmarks[name] = benchmarks[name].model_copy(update={"n_calls": answer.n_calls})
        found[name] = answer
    return found


def _read(rounds_s: dict[str, list[float]]) -> float:
    return compute_log_ratio(rounds_s["baseline"], rounds_s["candidate"])


def pair_with_itself(entry: Entry, folder: Path, extra_calls: float = 0.0) -> GateBenchmark:
    """Benchmark of a baseline's ONNX file against itself, at batch 1 or the only one that it takes."""
    path = file_path(folder, entry.artifact("onnx")).resolve()
    return GateBenchmark(
        backend="onnxruntime",
        batch=entry.batch or 1,
        input_shape=entry.input_shape,
        candidate_shape=entry.input_shape,
        baseline=path,
        candidate=path,
        extra_calls=extra_calls,
    )


def compute_noise_sd(noise: MachineNoise) -> float:
    """Compute the standard deviation of the log ratio over processes (at least two), pooled over the models."""
    sds = [compute_sd(logs) for logs in noise.log_ratios.values()]
    return math.sqrt(math.fsum(sd * sd for sd in sds if sd is not None) / len(sds))


def compute_resolvable(sd: float, n_processes: int = INPROC[0]) -> float:
    """Compute the smallest fraction that a session of `n_processes` can resolve: half the width of its interval."""
    distance = math.sqrt((n_processes - 1) / 2) * sd
    values = [
        distance,
        -distance,
        *[0.0] * (n_processes - 2),
    ]  # of mean 0 and that sd, so that the upper bound is the answer
    return math.expm1(compute_t_interval(values, ALPHA)[1])


def describe_noise(baseline: Baseline, machine_id: str) -> str:
    """Describe in one line how noisy the baseline's machine was, and whether it is this one."""
    if baseline.noise is None:
        return "A/A noise of the baseline's machine: not recorded"
    sd = compute_noise_sd(baseline.noise)
    where = "this machine" if baseline.environment.get("machine_id") == machine_id else "another machine"
    read = f"sd {format_share(sd, 2)} over processes"
    least = f"{INPROC[0]} processes resolve {format_share(compute_resolvable(sd), 1)}"
    share = baseline.noise.preempted_share
    busy = f"; up to {format_share(share)} of a process's blocks were interrupted" if share > NOISY_SHARE else ""
    return f"A/A noise when the baseline was saved ({where}): {read}; {least}{busy}"


def describe_entry_noise(baseline: Baseline, name: str) -> dict[str, JsonValue] | str:
    """Ratios of the A/A session for one model, as JSON."""
    if baseline.noise is None:
        return "not recorded"
    logs = {key: values for key, values in baseline.noise.log_ratios.items() if key.rpartition(" ")[0] == name}
    sd = compute_noise_sd(baseline.noise)
    pooled = {"pooled_sd": sd, "resolvable_at_3": compute_resolvable(sd), "n_rounds": baseline.noise.n_rounds}
    own: dict[str, JsonValue] = {
        key: {"sd": compute_sd(values), "log_ratios": list(values)} for key, values in logs.items()
    }
    return {**pooled, "preempted_share": baseline.noise.preempted_share, **own}
