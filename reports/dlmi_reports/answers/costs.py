"""Costs that others reported, as the records that measurements leave; marked, since nothing here measured them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from dlmi_bench.errors import DataError, UsageError, list_choices
from dlmi_bench.records import Cell, CellKind, Conditions, Figure, Note, Record
from dlmi_reports.answers.cells import read_labels, read_numbers, show
from dlmi_reports.answers.keep import clean_task, describe_origin
from dlmi_reports.answers.table import AnswerTable
from dlmi_reports.results.machines import REPORTED

MOST = 1e30
NOTE = Note(None, "bounds are taken as a 95 % interval, in fronts the value as exact")
INTERVAL = "as reported, taken as 95 %"


@dataclass(frozen=True)
class ReportedCost:
    """One kind of cost: its column, the figure that it becomes, and how much of it one of the column's is."""

    column: str
    cell: CellKind
    name: str
    is_count: bool = False
    factor: float = 1.0

    @property
    def bounds(self) -> tuple[str, str]:
        """Columns of the bounds: `latency_lo_s` of `latency_s`."""
        stem, _, unit = self.column.rpartition("_")
        return f"{stem}_lo_{unit}", f"{stem}_hi_{unit}"


KINDS = (
    ReportedCost("parameters", "counts", "n_parameters", is_count=True),
    ReportedCost("macs", "counts", "macs", is_count=True),
    ReportedCost("latency_s", "latency", "latency_s"),
    ReportedCost("energy_j", "energy", "inference_energy_j", factor=1000.0),  # of one inference, kept as of 1 000
)
KNOWN = ("algorithm", "source", *(name for k in KINDS for name in (k.column, *(() if k.is_count else k.bounds))))


def read_costs(table: AnswerTable, task: str, algorithms: Collection[str]) -> list[Record]:
    """Read a table of costs: a row for each algorithm, with `source` where joules are given.

    Raises:
        UsageError: a column is unknown or missing.
        DataError: names the first cell that cannot be used.
    """
    for name in table.columns:
        if name not in KNOWN:
            raise UsageError(f"{table.source}: no cost {name!r}", list_choices(name, KNOWN))
    if "algorithm" not in table.columns:
        raise UsageError(f"{table.source}: no column 'algorithm'", "name the algorithm of each row")
    names = read_labels(table, "algorithm", may_be_dates=True)
    for row, name in enumerate(names):
        if name not in algorithms or name in names[:row]:
            again = " again" if name in names[:row] else ", which gave no answers"
            raise DataError(f"{table.locate(row, 'algorithm')}: {show(name)}{again}", list_choices(name, algorithms))
    figures: dict[tuple[int, CellKind], list[Figure]] = {}
    for kind in KINDS:
        if kind.column in table.columns:
            for row, figure in _list_figures(table, kind):
                figures.setdefault((row, kind.cell), []).append(figure)
    provenance = describe_origin({table.source: table.sha256}, task)
    return [
        Record(cell=Cell(kind=cell, task=clean_task(task), model=names[row]), figures=found, provenance=provenance)
        for (row, cell), found in ((key, tuple(own)) for key, own in figures.items())
    ]


def _list_figures(table: AnswerTable, kind: ReportedCost) -> Iterator[tuple[int, Figure]]:
    """List the figures of one column with their rows; empty cells give none."""
    columns = [name for name in (kind.column, *kind.bounds) if name in table.columns]
    found = {name: read_numbers(table, name) for name in columns}
    sources = read_labels(table, "source", may_be_dates=True) if "source" in table.columns else [""] * table.n_rows
    for row in np.flatnonzero(np.isfinite(found[kind.column])).tolist():
        value, lo, hi = (
            float(found[name][row]) if name in found and np.isfinite(found[name][row]) else None
            for name in (kind.column, *kind.bounds)
        )
        assert value is not None
        _check(table, kind, row, value, lo, hi)
        if kind.cell == "energy" and not sources[row]:
            remedy = "name the meter of the joules in a column source, such as NVML or a wall meter"
            raise DataError(f"{table.locate(row, kind.column)}: joules without a source", remedy)
        yield row, _make_figure(kind, value, lo, hi, sources[row])


def _check(table: AnswerTable, kind: ReportedCost, row: int, value: float, lo: float | None, hi: float | None) -> None:
    where = table.locate(row, kind.column)
    if not 0 < value < MOST or (kind.is_count and not value.is_integer()):
        what = "a count" if kind.is_count else "a cost"
        raise DataError(f"{where}: {value:g} is not {what} above 0", "correct it, or leave the cell empty")
    if not (0 < (value if lo is None else lo) <= value <= (value if hi is None else hi) < MOST):
        raise DataError(f"{where}: {value:g} is not within its bounds", f"write {' <= '.join(_order(kind))}, above 0")


def _order(kind: ReportedCost) -> tuple[str, str, str]:
    lo, hi = kind.bounds
    return lo, kind.column, hi


def _make_figure(kind: ReportedCost, value: float, lo: float | None, hi: float | None, source: str) -> Figure:
    conditions: dict[CellKind, Conditions] = {
        "latency": {"backend": REPORTED},
        "energy": {"component": "cpu", "idle_subtracted": False, "backend": REPORTED},
    }
    return Figure(
        name=kind.name,
        value=value * kind.factor,
        lo=None if lo is None else lo * kind.factor,
        hi=None if hi is None else hi * kind.factor,
        interval=INTERVAL if lo is not None or hi is not None else "",
        kind="counted" if kind.is_count else "measured",
        source=f"{REPORTED}: {source}" if source else REPORTED,
        conditions=conditions.get(kind.cell, {}),
        notes=() if kind.is_count else (NOTE,),
    )
