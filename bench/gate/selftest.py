"""The gate measured by itself: sessions of known truth on this machine, beside the rules that others use.

`python -m bench.gate.selftest` appends one line per session to a file, so that it can be interrupted, and prints the
table of all lines at the end. The rivals judge the same rounds, but as they would see them: the baseline's from one
process, the candidate's from a later one.
"""

import argparse
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.gate.baseline import file_path, load_baseline
from bench.gate.latency import INPROC
from bench.gate.rounds import SIDES
from bench.gate.session import Benchmarks, run_inproc
from bench.gate.timing import decide_benchmarks
from bench.stats import compute_clopper_pearson

TAU = 0.05
N_ROUNDS = 100
MANN_WHITNEY_P = 0.002  # asv's threshold for calling two sets of samples different


def run_session(baseline: Path, name: str, extra_calls: float) -> dict[str, Any]:
    """One session: the gate's verdict, and what the rivals say of its first two processes."""
    entry = next(e for e in load_baseline(baseline).entries if e.name == name)
    path = str(file_path(baseline, entry.artifact("onnx")).resolve())
    shape = {"input_shape": list(entry.input_shape), "candidate_shape": list(entry.input_shape)}
    files = {"baseline": path, "candidate": path}
    common = {"backend": "onnxruntime", "batch": 1, "n_calls": 0, "extra_calls": extra_calls}
    answers: list[dict[str, Any]] = []

    def measure(benchmarks: Benchmarks, index: int) -> dict[str, Any]:
        answers.append(run_inproc(benchmarks, index, N_ROUNDS, lambda *_: None))
        return answers[-1]

    decision = decide_benchmarks({name: {**common, **shape, **files}}, {name: TAU}, measure, INPROC)[name]
    rounds = [answer["benchmarks"][name]["rounds_s"] for answer in answers[:2]]
    preempted = [max(a["benchmarks"][name]["preempted_share"][side] for side in SIDES) for a in answers]
    rivals = judge_as_others(rounds[0]["baseline"], rounds[1]["candidate"])
    return {"extra_calls": extra_calls, "decision": asdict(decision), "preempted": preempted, "rivals": rivals}


def judge_as_others(baseline_s: list[float], candidate_s: list[float]) -> dict[str, bool]:
    """Whether each rival calls the candidate slower, from one run of each side in a process of its own."""
    from scipy.stats import mannwhitneyu

    p = float(mannwhitneyu(baseline_s, candidate_s).pvalue)
    is_slower = median(candidate_s) > (1 + TAU) * median(baseline_s)
    return {
        "median +5 %": is_slower,
        "pytest-benchmark --benchmark-compare-fail=mean:5%": fmean(candidate_s) > (1 + TAU) * fmean(baseline_s),
        "pytest-benchmark --benchmark-compare-fail=min:5%": min(candidate_s) > (1 + TAU) * min(baseline_s),
        "asv: factor 1.05 and Mann-Whitney p < .002": is_slower and p < MANN_WHITNEY_P,
    }


@contextmanager
def hog(n_hogs: int) -> Iterator[None]:
    """Processes that do nothing but compete for the CPUs."""
    hogs = [multiprocessing.get_context("spawn").Process(target=_spin, daemon=True) for _ in range(n_hogs)]
    for process in hogs:
        process.start()
    try:
        yield
    finally:
        for process in hogs:
            process.kill()


def _spin() -> None:
    while True:
        pass


def make_table(lines: list[dict[str, Any]]) -> str:
    """Counts by condition, with exact 95 % bounds of the share that was called slower."""
    rows = ["| truth | machine | rule | called slower | 95 % bounds | not decided | n |", "|" + " --- |" * 7]
    for extra, n_hogs in sorted({(line["extra_calls"], line["n_hogs"]) for line in lines}):
        group = [line for line in lines if (line["extra_calls"], line["n_hogs"]) == (extra, n_hogs)]
        verdicts = [line["decision"]["verdict"] for line in group]
        head = f"| {f'+{extra:.0%} calls' if extra else 'unchanged'} | {f'{n_hogs} hog' if n_hogs else 'quiet'} |"
        open_ = sum(v in ("INCONCLUSIVE", "INVALID") for v in verdicts)
        rows.append(
            f"{head} this gate {_format_share(verdicts.count('REGRESSED'), len(group))} {open_} | {len(group)} |"
        )
        for rival in group[0]["rivals"]:
            n_slower = sum(line["rivals"][rival] for line in group)
            rows.append(f"{head} {rival} {_format_share(n_slower, len(group))} - | {len(group)} |")
    return "\n".join(rows)


def _format_share(k: int, n: int) -> str:
    lo, hi = compute_clopper_pearson(k, n)
    return f"| {k} of {n} | [{100 * lo:.1f}, {100 * hi:.1f}] % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", type=Path, default=Path("baseline"))
    parser.add_argument("--model", default="usps/mlp-64-32")
    parser.add_argument("--sessions", type=int, default=60, help="sessions to have in the file for this condition")
    parser.add_argument("--extra-calls", type=float, default=0.0)
    parser.add_argument("--hogs", type=int, default=0)
    parser.add_argument("--to", type=Path, default=Path("out/gate-selftest.jsonl"))
    options = parser.parse_args()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(text) for text in options.to.read_text().splitlines()] if options.to.exists() else []
    condition = (options.extra_calls, options.hogs)
    n_done = sum((line["extra_calls"], line["n_hogs"]) == condition for line in lines)
    with hog(options.hogs), options.to.open("a") as file:
        for _ in range(n_done, options.sessions):
            line = run_session(options.baseline, options.model, options.extra_calls) | {"n_hogs": options.hogs}
            lines.append(line)
            file.write(json.dumps(line) + "\n")
            file.flush()
    print(make_table(lines))  # noqa: T201 - the table is what this program is for


if __name__ == "__main__":
    main()
