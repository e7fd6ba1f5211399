"""Markdown page of a run of the self-test: where and when it ran, every row, every answer of another tool."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlmi_bench.selftest.peers import Comparison
from dlmi_bench.selftest.rows import Row

ROW_COLUMNS = ("part", "what", "figure %", "95 % bounds", "n", "target %", "")
PEER_COLUMNS = ("spin", "centre", "error", "uncertainty it states", "planted tail", "n")
INTRODUCTION = (
    "Written by `nox -s selftest`. [METHOD.md](../METHOD.md) explains what is measured and how to read the rows."
)


def format_page(rows: Sequence[Row], comparisons: Sequence[Comparison], origin: Mapping[str, Any]) -> str:
    """Format a whole page, tables without rows left out.

    Args:
        rows: Figures, in the order in which they were found.
        comparisons: Answers of the tools; one section for each tool and version.
        origin: `date`, `machine`, `machine_id`, `commit` and `versions`, as `describe_origin` in `__main__` gives them.
    """
    parts = ["# Self-test: last run", INTRODUCTION, format_origin(origin)]
    if rows:
        parts += ["## Bias, coverage, detection and studies", format_table(ROW_COLUMNS, map(list_cells, rows))]
    if comparisons:
        parts += ["## Other tools on the same spins", *_format_tools(comparisons)]
    return "\n\n".join(parts) + "\n"


def format_origin(origin: Mapping[str, Any]) -> str:
    """Format date, machine, commit and versions as a list."""
    machine = "{cpu}, {n_cpus_allowed} CPUs, {system}".format_map(origin["machine"])
    versions = ", ".join(f"{package} {version}" for package, version in origin["versions"].items())
    lines = {
        "Date": origin["date"],
        "Machine": f"{machine} ({origin['machine_id']})",
        "Commit": origin["commit"] or "none, not a checkout",
        "Versions": versions,
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())


def list_cells(row: Row) -> list[str]:
    """List the cells of a figure: two digits of a percent for a bias, one for a share."""
    digits = 2 if row.part == "bias" else 1
    what = f"{row.subject} ({row.remark})" if row.remark else row.subject
    bounds = "-" if row.lo is None or row.hi is None else f"[{100 * row.lo:.{digits}f}, {100 * row.hi:.{digits}f}]"
    target = f"{100 * row.lowest:g} to {100 * row.highest:g}"
    return [row.part, what, f"{100 * row.value:.{digits}f}", bounds, str(row.n), target, row.verdict]


def _format_tools(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for tool in dict.fromkeys(c.label for c in comparisons):
        cells = ([c.spin, c.centre, c.error, c.uncertainty, c.tail, c.n] for c in comparisons if c.label == tool)
        yield f"### {tool}"
        yield format_table(PEER_COLUMNS, cells)


def format_table(columns: Sequence[str], rows: Iterator[list[str]]) -> str:
    """Format a Markdown table; a bar in a cell is escaped."""
    lines = [_format_line(columns), "|" + " --- |" * len(columns)]
    return "\n".join([*lines, *map(_format_line, rows)])


def _format_line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in escaped)
