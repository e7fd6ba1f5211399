"""Self-test of the gate: sessions of known truth on this machine, compared with the rules of other tools.

`python -m dlmi_bench.selftest.gate` appends one line per session to a file, so that you can stop and resume it, and
prints a table of the sessions of this model, machine and code, whatever else the file holds. The rivals judge the same
rounds as they would see them: the baseline's from one process, the candidate's from a later one.
"""

import argparse
import json
import multiprocessing
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median
from typing import TypedDict

from dlmi_bench import gating
from dlmi_bench.closure import hash_code
from dlmi_bench.gating.latency.benchmark import Benchmarks, Replicate, Timings
from dlmi_bench.gating.latency.decision import INPROC
from dlmi_bench.gating.latency.looks import decide_benchmarks
from dlmi_bench.gating.latency.noise import pair_with_itself
from dlmi_bench.gating.latency.session import run_inproc
from dlmi_bench.gating.sides.baseline import Entry, load_baseline
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_machine, describe_versions
from dlmi_bench.stats.intervals import compute_clopper_pearson
from dlmi_bench.units import format_share

TAU = 0.05
N_ROUNDS = 100
MANN_WHITNEY_P = 0.002  # asv's threshold for calling two sets of samples different
# Modules of the gate, and those that it times and judges with.
CODE = (
    *(module.name for module in pkgutil.walk_packages(gating.__path__, "dlmi_bench.gating.")),
    *(
        "dlmi_bench.backends.onnxrt",
        "dlmi_bench.instruments.clock",
        "dlmi_bench.jobs.worker",
        "dlmi_bench.instruments.latency",
        "dlmi_bench.store.rounds",
        "dlmi_bench.stats.intervals",
    ),
)


class SelftestSubject(TypedDict):
    """All that sessions must share to be counted together."""

    model: str
    sha256: str
    machine_id: str
    code: str
    versions: dict[str, str]


class Session(TypedDict, total=False):
    """One line of the file: the condition, the gate's decision, and whether each rival called the candidate slower."""

    extra_calls: float
    n_hogs: int
    decision: dict[str, object]
    preempted: list[float]
    rivals: dict[str, bool]
    subject: SelftestSubject


def run_session(baseline: Path, name: str, extra_calls: float) -> Session:
    """Run one session: the gate's verdict, and those of the rivals on its first two processes."""
    benchmark = pair_with_itself(_find_entry(baseline, name), baseline, extra_calls)
    timings: list[Timings] = []

    def measure(benchmarks: Benchmarks, index: int) -> Replicate:
        answer = run_inproc(benchmarks, index, N_ROUNDS, lambda *_: None)
        timings.extend(t for t in answer.benchmarks.values() if isinstance(t, Timings))
        return answer

    decision = decide_benchmarks({name: benchmark}, {name: TAU}, measure, INPROC)[name]
    preempted = [max(t.preempted_share.values()) for t in timings]
    rivals = judge_as_others(timings[0].rounds_s["baseline"], timings[1].rounds_s["candidate"])
    return {"extra_calls": extra_calls, "decision": asdict(decision), "preempted": preempted, "rivals": rivals}


def _find_entry(baseline: Path, name: str) -> Entry:
    return next(e for e in load_baseline(baseline).entries if e.name == name)


def describe_subject(baseline: Path, name: str) -> SelftestSubject:
    return {
        "model": name,
        "sha256": _find_entry(baseline, name).artifact("onnx").sha256,
        "machine_id": compute_machine_id(),
        "code": hash_code(CODE),
        "versions": describe_versions(),
    }


def format_subject(subject: SelftestSubject) -> str:
    sha256, code = subject["sha256"][:12], subject["code"][:12]
    versions = ", ".join(f"{package} {version}" for package, version in subject["versions"].items())
    return f"{subject['model']}, file {sha256}, machine {subject['machine_id']}, code {code}\n{versions}"


def load_lines(path: Path, subject: SelftestSubject) -> list[Session]:
    """Load the sessions of this subject; others stay in the file, uncounted."""
    lines = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line.get("subject") == subject]


def judge_as_others(baseline_s: list[float], candidate_s: list[float]) -> dict[str, bool]:
    """Judge by each rival whether the candidate is slower, from one run of each side in a process of its own."""
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
    """Run processes that do nothing but compete for the CPUs."""
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


def make_table(lines: list[Session]) -> str:
    """Make a table of counts by condition, with exact 95 % bounds of the share that was called slower."""
    rows = ["| truth | machine | rule | called slower | 95 % bounds | not decided | n |", "|" + " --- |" * 7]
    for extra, n_hogs in sorted({(line["extra_calls"], line["n_hogs"]) for line in lines}):
        group = [line for line in lines if (line["extra_calls"], line["n_hogs"]) == (extra, n_hogs)]
        verdicts = [line["decision"]["verdict"] for line in group]
        truth = f"+{format_share(extra)} calls" if extra else "unchanged"
        head = f"| {truth} | {f'{n_hogs} hog' if n_hogs else 'quiet'} |"
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


def format_page(subject: SelftestSubject, lines: list[Session]) -> str:
    """Format the Markdown page of a run: date, machine, what was judged, and the table."""
    machine = "{cpu}, {n_cpus_allowed} CPUs, {system}".format_map(describe_machine())
    origin = f"{datetime.now(UTC).date()}, {machine}. Sessions of {format_subject(subject)}"
    method = "Written by `nox -s gate-selftest`. [METHOD.md](../METHOD.md) explains what is measured."
    return "\n\n".join(["# Self-test of the gate: last run", method, origin, make_table(lines)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", type=Path, default=Path("baseline"))
    parser.add_argument("--model", default="usps/mlp-64-32")
    parser.add_argument("--sessions", type=int, default=60, help="total of sessions in the file for this condition")
    parser.add_argument("--extra-calls", type=float, default=0.0)
    parser.add_argument("--hogs", type=int, default=0)
    parser.add_argument("--to", type=Path, default=Path("out/gate-selftest.jsonl"))
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a Markdown page to this file as well")
    options = parser.parse_args()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    subject = describe_subject(options.baseline, options.model)
    lines = load_lines(options.to, subject)
    truth = (options.extra_calls, options.hogs)
    n_done = sum((line["extra_calls"], line["n_hogs"]) == truth for line in lines)
    with hog(options.hogs), options.to.open("a") as file:
        for _ in range(n_done, options.sessions):
            session = run_session(options.baseline, options.model, options.extra_calls)
            lines.append({**session, "n_hogs": options.hogs, "subject": subject})
            file.write(json.dumps(lines[-1]) + "\n")
            file.flush()
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(format_page(subject, lines), encoding="utf-8")
    print(f"{format_subject(subject)}\n\n{make_table(lines)}")  # noqa: T201 - the table is what this program is for


if __name__ == "__main__":
    main()
