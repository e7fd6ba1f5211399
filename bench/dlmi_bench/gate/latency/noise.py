"""A/A noise of a machine: what its processes read when every model is compared with itself."""

import math
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.errors import MeasurementError
from dlmi_bench.gate.latency.decision import ALPHA, INPROC
from dlmi_bench.gate.latency.session import Benchmarks, run_inproc
from dlmi_bench.gate.sides.baseline import Baseline, Noise, file_path, load_baseline, write_manifest
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.stats.intervals import compute_sd, compute_t_interval
from dlmi_bench.stats.ratios import compute_log_ratio
from dlmi_bench.units import format_percent

N_ROUNDS = 100
NOISY_SHARE = 0.1  # of the blocks; above it the noise is of a busier machine than usual


def record_noise(folder: Path, n_processes: int, on_progress: OnProgress) -> Noise:
    """Run every ONNX file of the baseline against itself at batch 1, and keep what was read in the manifest.

    Raises:
        DataError: the folder is not a whole baseline.
        MeasurementError: a model cannot be timed.
    """
    baseline = load_baseline(folder)
    benchmarks = _make_benchmarks(baseline, folder)
    answers = []
    for index in range(n_processes):
        answer = run_inproc(benchmarks, index, N_ROUNDS, on_progress)["benchmarks"]
        for name, benchmark in benchmarks.items():
            if "error" in answer[name]:
                raise MeasurementError(f"{name}: {answer[name]['error']}", "mend the model, or leave the noise out")
            benchmark["n_calls"] = answer[name]["n_calls"]
        answers.append(answer)
    noise = Noise(
        n_rounds=N_ROUNDS,
        log_ratios={name: tuple(_read(answer[name]["rounds_s"]) for answer in answers) for name in benchmarks},
        preempted_share=max(max(a[name]["preempted_share"].values()) for a in answers for name in benchmarks),
    )
    write_manifest(folder, baseline.model_copy(update={"noise": noise}))
    return noise


def _read(rounds_s: dict[str, list[float]]) -> float:
    return compute_log_ratio(rounds_s["baseline"], rounds_s["candidate"])


def _make_benchmarks(baseline: Baseline, folder: Path) -> Benchmarks:
    common = {"backend": "onnxruntime", "batch": 1, "extra_calls": 0.0, "n_calls": 0}
    found = {}
    for entry in baseline.entries:
        path = str(file_path(folder, entry.artifact("onnx")).resolve())
        sides = {"input_shape": list(entry.input_shape), "baseline": path, "candidate": path}
        found[f"{entry.name} onnxruntime@1"] = common | sides
    return found


def compute_noise_sd(noise: Noise) -> float:
    """Standard deviation over processes of the log ratio, pooled over the models; two processes at least."""
    sds = [compute_sd(logs) for logs in noise.log_ratios.values()]
    return math.sqrt(math.fsum(sd * sd for sd in sds if sd is not None) / len(sds))


def compute_resolvable(sd: float, n_processes: int = INPROC[0]) -> float:
    """Smallest difference, as a fraction, that a session of so many processes tells from none: half its interval."""
    distance = math.sqrt((n_processes - 1) / 2) * sd
    values = [distance, -distance, *[0.0] * (n_processes - 2)]  # mean 0 and that sd: their bounds are what is asked for
    return math.expm1(compute_t_interval(values, ALPHA)[1])


def describe_noise(baseline: Baseline, machine_id: str) -> str:
    """One line for people: how noisy the machine of the baseline was, and whether it is this one."""
    if baseline.noise is None:
        return "A/A noise of the baseline's machine: not recorded"
    sd = compute_noise_sd(baseline.noise)
    where = "this machine" if baseline.environment.get("machine_id") == machine_id else "another machine"
    read = f"sd {format_percent(sd, 2)} % over processes"
    least = f"{INPROC[0]} processes resolve {format_percent(compute_resolvable(sd))} %"
    share = baseline.noise.preempted_share
    busy = f"; up to {share:.0%} of a process's blocks were interrupted" if share > NOISY_SHARE else ""
    return f"A/A noise when the baseline was saved ({where}): {read}; {least}{busy}"


def describe_entry_noise(baseline: Baseline, name: str) -> dict[str, JsonValue] | str:
    """What the A/A session read for one model."""
    if baseline.noise is None:
        return "not recorded"
    logs = {key: values for key, values in baseline.noise.log_ratios.items() if key.rpartition(" ")[0] == name}
    sd = compute_noise_sd(baseline.noise)
    pooled = {"pooled_sd": sd, "resolvable_at_3": compute_resolvable(sd), "n_rounds": baseline.noise.n_rounds}
    own: dict[str, JsonValue] = {
        key: {"sd": compute_sd(values), "log_ratios": list(values)} for key, values in logs.items()
    }
    return {**pooled, "preempted_share": baseline.noise.preempted_share, **own}
