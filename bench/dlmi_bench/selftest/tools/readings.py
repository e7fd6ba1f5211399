"""Tools: how each is asked about spins, and what its words mean. This project's own instrument is the first.

The others live in an environment of their own, whose interpreter runs the programs of `dlmi_bench.selftest.tools`.
"""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.latency import Plan, Trace, measure_latency
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.protocol import OnProgress, Request
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.selftest.spins import choose_seed, make_spin
from dlmi_bench.stats.intervals import compute_sd, compute_t_interval
from dlmi_bench.stats.percentiles import FENCES, count_outliers
from dlmi_bench.stats.ratios import compute_log_ratio
from dlmi_bench.units import format_share

ROOT = Path(__file__).parents[3]
OWN = "dlmi-bench"
DIFFERENCE = 0.05
N_PROCESSES = 3
LONG_S = 10e-3  # longer calls get fewer rounds
ALPHA = 0.05
TIMEOUT_S = 600
# Of its own 20 processes and 0.1 s a value: they would take ten minutes.
PYPERF = ("--processes", "5", "--values", "3", "--warmups", "1", "--min-time", "0.05")
VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
Spins = Sequence[tuple[float, int]]  # duration [s], seed
Reading = dict[str, Any]  # FIELDS; where the tool has them, `p50_s`, `outliers` (words) and raw values
FIELDS = {"centre_s", "spread_s", "most_s", "n"}
Ask = Callable[[Path | None, Spins], list[Reading]]


@dataclass(frozen=True)
class Tool:
    """One tool: how it is asked, and what its words mean.

    Attributes:
        package: What it is installed as, which has its version.
        centre: What it reports first.
        spread: Name of the spread that it reports.
        rule: How it tells a difference.
        is_told: Whether it calls the second of two readings slower; by threshold where it has no rule of its own.
    """

    name: str
    package: str
    ask: Ask
    centre: str
    spread: str
    rule: str
    is_told: Callable[[Reading, Reading], bool]


def find_version(package: str, python: Path | None) -> str:
    return _run(python, "-c", VERSION, package).strip()


def _run(python: Path | None, *arguments: str, **environment: str) -> str:
    """Standard output of a program of the other environment."""
    if python is None:
        raise UsageError("no interpreter with the tools", "use nox -s selftest, or name one with --peers")
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [str(python), *arguments]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    return done.stdout


def _ask_program(name: str) -> Ask:
    def ask(python: Path | None, spins: Spins) -> list[Reading]:
        answer = _run(python, "-m", f"dlmi_bench.selftest.tools.{name}", json.dumps(spins)).splitlines()[-1]
        readings: list[Reading] = json.loads(answer)
        return readings

    return ask


def _ask_pytest(python: Path | None, spins: Spins) -> list[Reading]:
    with TemporaryDirectory() as folder:
        file, rows = Path(folder, "out.json"), Path(__file__).with_name("pytest_rows.py")
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


def _ask_pyperf(python: Path | None, spins: Spins) -> list[Reading]:
    with TemporaryDirectory() as folder:
        file = Path(folder, "out.json")
        settings = (*PYPERF, "--inherit-environ", "DLMI_BENCH_SPINS,PYTHONPATH", "-o", str(file))
        program = ("-m", "dlmi_bench.selftest.tools.pyperf_rows", *settings)
        _run(python, *program, DLMI_BENCH_SPINS=json.dumps(spins))
        found = json.loads(file.read_text())
    return [read_pyperf(benchmark, found["metadata"]) for benchmark in found["benchmarks"]]


def read_pyperf(benchmark: dict[str, Any], common: dict[str, Any]) -> Reading:
    """One benchmark of its file; what all of them share is said once, in `common`."""
    values = [value for run in benchmark["runs"] for value in run.get("values", ())]
    loops = (common | benchmark.get("metadata", {})).get("loops", 1)
    centre = {"centre_s": fmean(values), "spread_s": compute_sd(values) or 0.0, "most_s": max(values)}
    return centre | {"n": len(values) * loops, "values_s": values}


def is_significant(a: Reading, b: Reading) -> bool:
    """pyperf's own rule: Student's two-sample t-test, two-sided at 95 %."""
    from scipy.stats import ttest_ind

    return bool(ttest_ind(a["values_s"], b["values_s"]).pvalue < ALPHA) and b["centre_s"] > a["centre_s"]


def is_beyond_half(a: Reading, b: Reading) -> bool:
    return bool(b["centre_s"] > (1 + DIFFERENCE / 2) * a["centre_s"])


def ask_this(_: Path | None, spins: Spins) -> list[Reading]:
    """This project's instrument: fresh processes, in each of which the spins run side by side."""
    answers = []
    for index in range(N_PROCESSES):
        with Worker(index) as worker:
            answers.append(worker.ask(SpinsRequest(spins=tuple(spins), index=index), timeout_s=TIMEOUT_S))
    return [_read_this([answer[side] for answer in answers]) for side in range(len(spins))]


def _read_this(traces: list[Trace]) -> Reading:
    """One spin, from the trace of each process."""
    medians = [median(trace.wall_s) for trace in traces]
    single_s = [duration_s for trace in traces for duration_s in trace.single_s]
    n_severe = sum(count_outliers(trace.single_s, FENCES["severe"]) for trace in traces)
    return {
        "centre_s": median(medians),
        "p50_s": median(single_s),
        "spread_s": (max(medians) - min(medians)) / 2,
        "n": sum(len(trace.wall_s) * trace.n_calls for trace in traces),
        "most_s": max(single_s),
        "outliers": f"{n_severe} of {len(single_s)} calls severe",
        "rounds_s": [trace.wall_s for trace in traces],
    }


class SpinsRequest(Request[tuple[Trace, ...]]):
    """Time spins side by side; `index` is the number of the process. For a fresh worker."""

    job = "dlmi_bench.selftest.tools.readings:run_spins_job"
    spins: tuple[tuple[float, int], ...]
    index: int


def run_spins_job(request: SpinsRequest, _: OnProgress) -> tuple[Trace, ...]:
    """Time spins side by side. For a fresh worker."""
    seeds = [choose_seed(seed, request.index) for _, seed in request.spins]
    calls = {str(i): make_spin(request.spins[i][0], seed) for i, seed in enumerate(seeds)}
    n_rounds = 30 if any(duration_s > LONG_S for duration_s, _ in request.spins) else 100
    traces = measure_latency(calls, Plan(n_rounds, request.index, singles=list(calls)), pin=CpuHopper())
    return tuple(traces.values())


def is_resolved(a: Reading, b: Reading) -> bool:
    logs = [compute_log_ratio(x, y) for x, y in zip(a["rounds_s"], b["rounds_s"], strict=True)]
    return compute_t_interval(logs, ALPHA / 2)[0] > 0


THRESHOLD = f"no rule; taken at half of the difference, {format_share(DIFFERENCE / 2, 1)}"
TOOLS = (
    Tool(OWN, OWN, ask_this, "median", "half range of processes", "95 % t-interval, 3 processes", is_resolved),
    Tool("pytest-benchmark", "pytest-benchmark", _ask_pytest, "median", "IQR", THRESHOLD, is_beyond_half),
    Tool("torch.utils.benchmark", "torch", _ask_program("torch_timer"), "median", "IQR", THRESHOLD, is_beyond_half),
    Tool(
        "pytorch-benchmark",
        "pytorch-benchmark",
        _ask_program("module_benchmark"),
        "mean",
        "sd",
        THRESHOLD,
        is_beyond_half,
    ),
    Tool("pyperf", "pyperf", _ask_pyperf, "mean", "sd", "its t-test at 95 %", is_significant),
)
