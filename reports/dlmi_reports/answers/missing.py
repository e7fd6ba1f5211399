"""Cases that an algorithm did not answer: refused, left out for all, or counted as wrong."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_bench.units import format_count
from dlmi_reports.answers.cells import show
from dlmi_reports.answers.columns import Algorithm, Part

if TYPE_CHECKING:
    from dlmi_reports.answers.predictions import Predictions

CHOICES = ("refuse", "complete", "wrong")
REMEDY = (
    "fill the answers in; or choose: --missing complete judges the cases that all algorithms answered, --missing wrong "
    "counts a missing answer as wrong"
)


def settle_missing(read: "Predictions", how: str, parts: Sequence[Part]) -> "Predictions":
    """Settle what becomes of cases without an answer, and say so.

    Raises:
        DataError: there are some, and they are refused, or no case is left.
    """
    lacking = {name: np.isnan(scores).any(1) for name, scores in read.scores.items()}
    counts = {name: int(lacks.sum()) for name, lacks in lacking.items() if lacks.any()}
    if not counts:
        return read
    said = ", ".join(f"{name} {format_count(n)}" for name, n in counts.items())
    if how == "wrong":
        return read.take(np.ones(len(read.labels), bool), f"Cases without an answer count as wrong: {said}.")
    if how == "complete":
        kept = ~np.logical_or.reduce(list(lacking.values()))
        if not kept.any():
            raise DataError("no case was answered by all algorithms", "leave out with --ignore who answered few")
        note = f"{format_count((~kept).sum())} of {format_count(len(kept))} cases are left out: not answered by all"
        return read.take(kept, f"{note} ({said}).")
    name = next(iter(counts))
    case = read.case_ids[int(np.flatnonzero(lacking[name])[0])]
    where = _locate(name, case, parts)
    raise DataError(f"{where}: {name} has no answer to case {show(case)}; missing in all: {said}", REMEDY)


def _locate(name: Algorithm, case: str, parts: Sequence[Part]) -> str:
    """Name the cell that is empty, or the table that lacks the case."""
    table, columns, case_ids = next(part for part in parts if name in part.columns.algorithms)
    column = next(iter(columns.algorithms[name].values()))
    return table.locate(case_ids.index(case), column) if case in case_ids else table.source
