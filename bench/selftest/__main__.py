"""`python -m bench.selftest`: every part, its table, and exit code 1 where a figure misses its target."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.environment import compute_machine_id, describe_versions
from bench.selftest import bias, coverage, detection
from bench.selftest.peers import Comparison, compare_peers
from bench.selftest.rows import Row

EXIT_MISSED = 1
PARTS: dict[str, tuple[Callable[[], Iterator[Row]], ...]] = {
    "bias": (bias.check_simulated, bias.check_real, detection.check_time_to_target),
    "coverage": (coverage.check_coverage,),
    "detection": (
        detection.check_macs,
        detection.check_leaks,
        detection.check_parity,
        detection.check_energy,
        detection.check_curves,
    ),
}


def make_table(rows: Sequence[Row]) -> Table:
    table = Table("part", "what", "figure", "95 % bounds", "n", "target", "", title="The harness measured by itself")
    for row in rows:
        target = f"{100 * row.lowest:g} % to {100 * row.highest:g} %"
        bounds = "-" if row.lo is None or row.hi is None else f"[{row.lo:.2%}, {row.hi:.2%}]"
        what = f"{row.subject} ({row.remark})" if row.remark else row.subject
        table.add_row(row.part, what, f"{row.value:.2%}", bounds, str(row.n), target, "met" if row.is_met else "MISSED")
    return table


def make_peer_table(comparisons: Sequence[Comparison]) -> Table:
    columns = ("tool", "spin", "centre", "error", "uncertainty it states", "planted tail", "n")
    table = Table(*columns, title="The same spins by other tools")
    for c in comparisons:
        table.add_row(c.tool, c.spin, c.centre, c.error, c.uncertainty, c.tail, c.n)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=[*PARTS, "peers"], help="only this; may be repeated")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="interpreter that has the other tools")
    parser.add_argument("--tool", action="append", help="only this peer; may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON to standard output")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    chosen = options.part or [*PARTS, "peers"]
    rows: list[Row] = []
    for part in (p for p in PARTS if p in chosen):
        for check in PARTS[part]:
            console.print(f"{part}: {check.__name__.removeprefix('check_')} ...", highlight=False)
            rows += check()
    comparisons = compare_peers(options.peers, options.tool or ()) if "peers" in chosen else []
    if rows:
        console.print(make_table(rows))
    if comparisons:
        console.print(make_peer_table(comparisons))
    if options.json:
        found = {"rows": [row.to_json() for row in rows], "peers": [c.to_json() for c in comparisons]}
        machine = {"machine_id": compute_machine_id(), "versions": describe_versions()}
        print(json.dumps(found | machine, indent=2))  # noqa: T201 - the answer of this program
    missed = [row for row in rows if not row.is_met]
    for row in missed:
        console.print(f"missed: {row.subject}: {row.value:.2%}", style="red", highlight=False)
    sys.exit(EXIT_MISSED if missed else 0)


if __name__ == "__main__":
    main()
