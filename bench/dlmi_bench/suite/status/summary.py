"""The answer of the command `status`: a run from outside, while it goes on or afterwards."""

from collections import Counter
from pathlib import Path

from dlmi_bench.records import Plain
from dlmi_bench.store import Store
from dlmi_bench.suite.status.disk import find_free_bytes
from dlmi_bench.suite.status.file import RunStatus, read_status
from dlmi_bench.units import clean_line, format_left, format_quantity, format_share
from dlmi_reports.claims.verdicts import Judgement, choose_claims, judge_claims
from dlmi_reports.results.load import load_results

MAX_SHOWN = 20  # cells under way or failed, in text; --json has all


class Summary(Plain):
    """A folder of results, and the run that writes to it.

    Attributes:
        run: None where no run has left its state.
        done, failed: Cells by kind, and first lines of what failed, by cell.
        open_claims: Claims that what is stored does not decide.
        used_bytes, needed_bytes, free_bytes: Disk; what is needed is None where no training has ended.
    """

    run: RunStatus | None
    done: dict[str, int]
    failed: dict[str, str]
    n_claims: int
    open_claims: tuple[str, ...]
    used_bytes: int
    needed_bytes: int | None
    free_bytes: int


def summarise(folder: Path) -> Summary:
    """Read the folder; nothing is written.

    Raises:
        StoreError: there are no results.
    """
    store, run = Store(folder, must_exist=True), read_status(folder)
    cells = store.current()
    done = Counter(key.partition("/")[0] for key, attempt in cells.items() if attempt.status == "done")
    judged = _judge(store) if any(attempt.record for attempt in cells.values()) else ()
    used_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    n_left = run.n_cells_left if run and run.state == "running" else 0
    return Summary(
        run=run,
        done=dict(done),
        failed={key: _first_line(a.error or "") for key, a in cells.items() if a.status == "failed"},
        n_claims=len(judged),
        open_claims=tuple(j.claim.id for j in judged if not j.is_decided),
        used_bytes=used_bytes,
        needed_bytes=round(used_bytes / sum(done.values()) * n_left) if done else None,
        free_bytes=find_free_bytes(folder),
    )


def _judge(store: Store) -> tuple[Judgement, ...]:
    results = load_results(store)
    return judge_claims(choose_claims(results), results).judgements


def format_summary(summary: Summary) -> str:
    """Write it for a terminal of 80 columns."""
    return "\n".join([*_describe_run(summary.run), *_describe_cells(summary), _describe_disk(summary)])


def _describe_run(run: RunStatus | None) -> list[str]:
    if run is None:
        return ["no run has left its state here"]
    what = f"{run.state}: suite {run.suite} on {run.executor}, process {run.pid} on {run.host}"
    lines = [f"{what}, begun {run.begun_at}", f"  written {run.written_at} (UTC)"]
    if run.state in ("running", "killed") and run.total:
        left = f", about {format_left(run.left_s)} left" if run.left_s else ""
        lines.append(f"  step {run.index} of {run.total}: {run.step}{left}; {run.n_cells_left} cells to do")
    if run.state == "running":
        shown = run.running[:MAX_SHOWN]
        lines += [f"  {r.cell} {format_share(r.share)}{r.place and f' on {r.place}'}" for r in shown]
        lines += [f"  and {n} more under way"] if (n := len(run.running) - len(shown)) else []
    if run.state == "killed":
        lines.append("  nobody writes any more: say the same command again, which goes on from here")
    return [clean_line(line) for line in lines]


def _describe_cells(summary: Summary) -> list[str]:
    done = ", ".join(f"{n} {kind}" for kind, n in summary.done.items())
    shown = list(summary.failed.items())[:MAX_SHOWN]
    n_lost = summary.run.n_lost if summary.run else 0
    lost = f"; {n_lost} tries were lost with their worker" if n_lost else ""
    return [
        f"done: {sum(summary.done.values())} cells ({done}){lost}",
        f"failed: {len(summary.failed)} cells",
        *(clean_line(f"  {key}: {error}") for key, error in shown),
        *([f"  and {n} more; see --json"] if (n := len(summary.failed) - len(shown)) else []),
        f"claims: {len(summary.open_claims)} of {summary.n_claims} are open",
    ]


def _describe_disk(summary: Summary) -> str:
    used, free = (format_quantity(n, "bytes") for n in (summary.used_bytes, summary.free_bytes))
    needed = f", about {format_quantity(summary.needed_bytes, 'bytes')} to come" if summary.needed_bytes else ""
    short = "; that is not enough" if (summary.needed_bytes or 0) > summary.free_bytes else ""
    return f"disk: {used} used{needed}, {free} free{short}"


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0]
