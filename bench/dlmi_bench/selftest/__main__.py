"""`python -m dlmi_bench.selftest`: every part, its table, and exit code 1 where a figure misses its target."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Column, Table

from dlmi_bench.instruments.host.provenance import (
    compute_machine_id,
    describe_commit,
    describe_machine,
    describe_versions,
)
from dlmi_bench.selftest import bias, classes, coverage, detection, metrics, studies
from dlmi_bench.selftest.markdown import format_page
from dlmi_bench.selftest.peers import Comparison, compare_peers
from dlmi_bench.selftest.rows import Row
from dlmi_bench.units import format_share

EXIT_MISSED, EXIT_INTERRUPTED = 1, 130
PARTS: dict[str, tuple[Callable[[], Iterator[Row]], ...]] = {
    "bias": (
        bias.check_simulated,
        bias.check_real,
        detection.check_time_to_target,
        metrics.check_calibration_bias,
        metrics.check_delong,
    ),
    "coverage": (coverage.check_coverage, metrics.check_metrics, metrics.check_differences, classes.check_classes),
    "detection": (
        detection.check_macs,
        detection.check_leaks,
        detection.check_backends,
        detection.check_tolerance,
        detection.check_energy,
        detection.check_curves,
    ),
    "studies": (studies.check_limits, studies.check_effects),
}
LEGEND = (
    "shown: the figure and its 95 % bounds lie in the target; met: the figure does, its bounds reach beyond "
    "it or n is too small for any; MISSED: it does not."
)


def make_table(part: str, rows: Sequence[Row]) -> Table:
    """Narrow enough for 80 columns: only the words break."""
    figures = [Column(name, justify="right", no_wrap=True) for name in ("figure %", "95 % bounds", "n", "target %")]
    table = Table(
        "what", *figures, Column("", no_wrap=True), title=f"\n{part}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for row in rows:
        what = f"{row.subject} ({row.remark})" if row.remark else row.subject
        bounds = "-" if row.lo is None or row.hi is None else f"{100 * row.lo:.2f} to {100 * row.hi:.2f}"
        target = f"{100 * row.lowest:g} to {100 * row.highest:g}"
        table.add_row(what, f"{100 * row.value:.2f}", bounds, str(row.n), target, row.verdict)
    return table


def make_peer_table(tool: str, comparisons: Sequence[Comparison]) -> Table:
    columns = ("spin", "centre", "error", "uncertainty it states", "planted tail", "n")
    table = Table(*columns, title=f"\n{tool}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for c in comparisons:
        table.add_row(c.spin, c.centre, c.error, c.uncertainty, c.tail, c.n)
    return table


def print_tables(console: Console, rows: Sequence[Row], comparisons: Sequence[Comparison]) -> None:
    for part in dict.fromkeys(row.part for row in rows):
        console.print(make_table(part, [row for row in rows if row.part == part]))
    for tool in dict.fromkeys(c.label for c in comparisons):
        console.print(make_peer_table(tool, [c for c in comparisons if c.label == tool]))
    if rows:
        found = Counter(row.verdict for row in rows)
        console.print(LEGEND, highlight=False)
        console.print(f"{found['shown']} shown, {found['met']} met, {found['MISSED']} missed", highlight=False)
    for row in rows:
        if not row.is_met:
            console.print(f"missed: {row.subject}: {format_share(row.value, 2)}", style="red", highlight=False)


def check(parts: Sequence[str], console: Console) -> list[Row]:
    """Every figure of these parts, each said as soon as it is known."""
    rows = []
    for part in (p for p in PARTS if p in parts):
        for look in PARTS[part]:
            console.print(f"{part}: {look.__name__.removeprefix('check_').replace('_', ' ')} ...", highlight=False)
            for row in look():
                console.print(f"  {row.value:8.2%} {row.verdict:6} {row.subject}", highlight=False)
                rows.append(row)
    return rows


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dlmi_bench.selftest", description=__doc__)
    parser.add_argument("--part", action="append", choices=[*PARTS, "peers"], help="only this; may be repeated")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="interpreter that has the other tools")
    parser.add_argument("--tool", action="append", help="only this peer; may be repeated")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write JSON to this file as well")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a Markdown page to this file as well")
    parser.add_argument("--json", action="store_true", help="print JSON to standard output, all else to standard error")
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    console = Console(stderr=options.json)
    chosen = options.part or [*PARTS, "peers"]
    rows = check(chosen, console)
    comparisons = []
    if "peers" in chosen:
        say = lambda what: console.print(f"peers: {what} ...", highlight=False)  # noqa: E731
        comparisons = compare_peers(options.peers, options.tool or (), say=say)
    print_tables(console, rows, comparisons)
    origin = describe_origin()
    text = json.dumps(describe(rows, comparisons, origin), indent=2)
    if options.out:
        write(options.out, text + "\n")
    if options.markdown:
        write(options.markdown, format_page(rows, comparisons, origin))
    if options.json:
        print(text)  # noqa: T201 - the answer of this program
    return 0 if all(row.is_met for row in rows) else EXIT_MISSED


def describe(rows: Sequence[Row], comparisons: Sequence[Comparison], origin: dict[str, object]) -> dict[str, object]:
    """Results and their origin, as written to the JSON file."""
    return {"rows": [row.to_json() for row in rows], "peers": [c.to_json() for c in comparisons]} | origin


def describe_origin() -> dict[str, object]:
    """Date and machine of a run, and the code that ran."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "machine_id": compute_machine_id(),
        "versions": describe_versions(),
        "commit": describe_commit(),
    }


def write(path: Path, text: str) -> None:
    """Write a file into a folder that need not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    options = parse_options()
    try:
        sys.exit(run(options))
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)  # noqa: T201 - the last word of this program
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
