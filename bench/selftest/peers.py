"""The same spins through other people's tools and through this one, side by side: truth, uncertainty, tail, difference.

The tools live in an environment of their own; their interpreter runs the programs of `bench.selftest.rivals`.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import JsonValue

from bench.executors import OnProgress, Worker
from bench.latency import CpuHopper, Plan, measure_latency
from bench.percentiles import FENCES, count_outliers
from bench.ratios import compute_log_ratio
from bench.selftest.bias import compute_block_median
from bench.selftest.spins import DURATIONS_S, compute_median, make_spin
from bench.stats import compute_clopper_pearson, compute_sd, compute_t_interval

ROOT = Path(__file__).parent.parent.parent
COMPARED_S = 1e-3
DIFFERENCE = 0.05
N_PAIRS = 5
N_PROCESSES = 3
N_SEEDS = 1000  # of the processes of one spin
LONG_S = 10e-3  # longer calls get fewer rounds
ALPHA = 0.05
TIMEOUT_S = 600
PYPERF = (
    "--processes",
    "5",
    "--values",
    "3",
    "--warmups",
    "1",
    "--min-time",
    "0.05",
)  # fewer than its own 20 processes
Spins = Sequence[tuple[float, int]]  # duration [s], seed
# `centre_s`, `spread_s`, `most_s`, `n`; where the tool has them, `p50_s`, `outliers` (words) and raw values.
Reading = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What one tool says of one spin; or why there is nothing, in `centre`."""

    tool: str
    spin: str
    centre: str
    error: str = ""
    uncertainty: str = ""
    tail: str = ""
    n: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Tool:
    """How a tool is asked and what its words mean.

    Attributes:
        centre: What it reports first.
        spread: What stands beside it.
        rule: How it tells a difference.
        is_told: Whether it calls the second of two readings slower; by threshold where it has no rule of its own.
    """

    name: str
    ask: Callable[[Path, Spins], list[Reading]]
    centre: str
    spread: str
    rule: str
    is_told: Callable[[Reading, Reading], bool]


def compare_peers(python: Path | None, names: Sequence[str] = ()) -> list[Comparison]:
    """Every tool, this one first; a tool that does not run says why."""
    return [row for tool in TOOLS if not names or tool.name in names for row in _compare(tool, python)]


def _compare(tool: Tool, python: Path | None) -> Iterator[Comparison]:
    if python is None:
        yield Comparison(tool.name, "all", "not available: no interpreter with the tools; use nox -s selftest")
        return
    singles = [(duration_s, index) for index, duration_s in enumerate(DURATIONS_S.values())]
    pairs = [(COMPARED_S, 10 + i) for i in range(N_PAIRS)]
    equal = [(duration_s, seed + N_PAIRS) for duration_s, seed in pairs]
    slower = [((1 + DIFFERENCE) * duration_s, seed + 2 * N_PAIRS) for duration_s, seed in pairs]
    try:
        readings = tool.ask(python, [*singles, *pairs, *equal, *slower])
    except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        yield Comparison(tool.name, "all", f"not available: {_explain(error)}")
        return
    for (name, duration_s), reading in zip(DURATIONS_S.items(), readings, strict=False):
        yield _describe(tool, name, duration_s, reading)
    base, same, other = (readings[3 + i * N_PAIRS : 3 + (i + 1) * N_PAIRS] for i in range(3))
    told, false = (sum(tool.is_told(a, b) for a, b in zip(base, side, strict=True)) for side in (other, same))
    words = [f"{k} of {N_PAIRS} {_format_bounds(k)}" for k in (told, false)]
    yield Comparison(tool.name, f"1 ms and {DIFFERENCE:.0%} more", f"told {words[0]}", f"false {words[1]}", tool.rule)


def _explain(error: Exception) -> str:
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return lines[-1][:120] if lines else type(error).__name__


def _format_bounds(k: int) -> str:
    lo, hi = compute_clopper_pearson(k, N_PAIRS)
    return f"[{lo:.0%}, {hi:.0%}]"


def _describe(tool: Tool, name: str, duration_s: float, reading: Reading) -> Comparison:
    centre_s, most_s = reading["centre_s"], reading["most_s"]
    truths = {"median": compute_median(duration_s), "mean": compute_block_median(name, 1000)}
    error = ", ".join(f"{centre_s / truth - 1:+.2%} of the {what}" for what, truth in truths.items())
    tail = f"largest {most_s / duration_s:.2f} x" + (f", {reading['outliers']}" if "outliers" in reading else "")
    centre = f"{tool.centre} {centre_s / duration_s:.4f} x"
    if "p50_s" in reading:
        centre += f", p50 of calls {reading['p50_s'] / duration_s:.4f} x"
    spread = f"{tool.spread} {reading['spread_s'] / centre_s:.2%}"
    return Comparison(tool.name, name, centre, error, spread, tail, str(reading["n"]))


def _run(python: Path, *arguments: str, **environment: str) -> str:
    """Standard output of a program of the other environment."""
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [str(python), *arguments]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    return done.stdout


def _ask_program(name: str) -> Callable[[Path, Spins], list[Reading]]:
    def ask(python: Path, spins: Spins) -> list[Reading]:
        answer = _run(python, "-m", f"bench.selftest.rivals.{name}", json.dumps(spins)).splitlines()[-1]
        readings: list[Reading] = json.loads(answer)
        return readings

    return ask


def _ask_pytest(python: Path, spins: Spins) -> list[Reading]:
    with TemporaryDirectory() as folder:
        file, rows = Path(folder, "out.json"), Path(__file__).parent / "rivals" / "pytest_rows.py"
        settings = ("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", folder, f"--benchmark-json={file}")
        plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "DLMI_BENCH_SPINS": json.dumps(spins)}
        _run(python, "-m", "pytest", "-q", "-p", "pytest_benchmark.plugin", *settings, str(rows), **plugins)
        found = [row["stats"] for row in json.loads(file.read_text())["benchmarks"]]
    names = {"centre_s": "median", "spread_s": "iqr", "most_s": "max"}
    return [
        {key: stats[name] for key, name in names.items()}
        | {"n": stats["rounds"] * stats["iterations"], "outliers": f"outliers {stats['outliers']} of {stats['rounds']}"}
        for stats in found
    ]


def _ask_pyperf(python: Path, spins: Spins) -> list[Reading]:
    with TemporaryDirectory() as folder:
        file = Path(folder, "out.json")
        settings = (*PYPERF, "--inherit-environ", "DLMI_BENCH_SPINS,PYTHONPATH", "-o", str(file))
        program = ("-m", "bench.selftest.rivals.pyperf_rows", *settings)
        _run(python, *program, DLMI_BENCH_SPINS=json.dumps(spins))
        found = json.loads(file.read_text())["benchmarks"]
    return [_read_pyperf(benchmark) for benchmark in found]


def _read_pyperf(benchmark: dict[str, Any]) -> Reading:
    values = [value for run in benchmark["runs"] for value in run.get("values", ())]
    loops = benchmark.get("metadata", {}).get("loops", 1)
    centre = {"centre_s": fmean(values), "spread_s": compute_sd(values) or 0.0, "most_s": max(values)}
    return centre | {"n": len(values) * loops, "values_s": values}


def _is_significant(a: Reading, b: Reading) -> bool:
    """pyperf's own rule: Student's two-sample t-test, two-sided at 95 %."""
    from scipy.stats import ttest_ind

    return bool(ttest_ind(a["values_s"], b["values_s"]).pvalue < ALPHA) and b["centre_s"] > a["centre_s"]


def _is_beyond_half(a: Reading, b: Reading) -> bool:
    return bool(b["centre_s"] > (1 + DIFFERENCE / 2) * a["centre_s"])


def ask_this(_: Path, spins: Spins) -> list[Reading]:
    """This project's instrument: fresh processes; the spins of a comparison run side by side in each."""
    n = (len(spins) - len(DURATIONS_S)) // 3
    alone, rest = spins[: len(DURATIONS_S)], spins[len(DURATIONS_S) :]
    readings = [_measure([spin])[0] for spin in alone]
    trios = [_measure([rest[i], rest[n + i], rest[2 * n + i]]) for i in range(n)]
    return readings + [trio[side] for side in range(3) for trio in trios]


def _measure(spins: Spins) -> list[Reading]:
    answers = []
    for index in range(N_PROCESSES):
        with Worker(index) as worker:
            payload = {"spins": list(spins), "index": index}
            answers.append(worker.call("bench.selftest.peers:run_spins_job", payload, timeout_s=TIMEOUT_S))
    readings = []
    for side in range(len(spins)):
        medians = [median(answer[side]["wall_s"]) for answer in answers]
        spread_s = (max(medians) - min(medians)) / 2
        n = sum(len(a[side]["wall_s"]) * a[side]["n_calls"] for a in answers)
        single_s = [duration_s for answer in answers for duration_s in answer[side]["single_s"]]
        n_severe = sum(count_outliers(answer[side]["single_s"], FENCES["severe"]) for answer in answers)
        centre = {"centre_s": median(medians), "p50_s": median(single_s), "spread_s": spread_s, "n": n}
        tail = {"most_s": max(single_s), "outliers": f"{n_severe} of {len(single_s)} calls severe"}
        readings.append(centre | tail | {"rounds_s": [answer[side]["wall_s"] for answer in answers]})
    return readings


def run_spins_job(payload: dict[str, Any], _: OnProgress) -> JsonValue:
    """Payload: `spins`, `index` of the process. Returns rounds, calls a block and single calls of each."""
    # Another sample of durations in every process: the replicate is the process.
    calls = {str(i): make_spin(s, N_SEEDS * seed + payload["index"]) for i, (s, seed) in enumerate(payload["spins"])}
    n_rounds = 30 if any(duration_s > LONG_S for duration_s, _ in payload["spins"]) else 100
    traces = measure_latency(calls, Plan(n_rounds, payload["index"], singles=list(calls)), pin=CpuHopper())
    return [{"wall_s": [*t.wall_s], "n_calls": t.n_calls, "single_s": [*t.single_s]} for t in traces.values()]


def _is_resolved(a: Reading, b: Reading) -> bool:
    logs = [compute_log_ratio(x, y) for x, y in zip(a["rounds_s"], b["rounds_s"], strict=True)]
    return compute_t_interval(logs, ALPHA / 2)[0] > 0


THRESHOLD = f"no rule; taken at half of the difference, {DIFFERENCE / 2:.1%}"
TOOLS = (
    Tool("dlmi-bench", ask_this, "median", "half range of processes", "95 % t-interval, 3 processes", _is_resolved),
    Tool("pytest-benchmark", _ask_pytest, "median", "IQR", THRESHOLD, _is_beyond_half),
    Tool("torch.utils.benchmark", _ask_program("torch_timer"), "median", "IQR", THRESHOLD, _is_beyond_half),
    Tool("pytorch-benchmark", _ask_program("module_benchmark"), "mean", "sd", THRESHOLD, _is_beyond_half),
    Tool("pyperf", _ask_pyperf, "mean", "sd", "its t-test at 95 %", _is_significant),
)
