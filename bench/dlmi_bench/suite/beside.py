"""Trainings side by side, for accuracies alone."""

import time
from collections.abc import Generator, Iterable

from dlmi_bench.errors import BenchError
from dlmi_bench.jobs.pool import Ended, Pool
from dlmi_bench.jobs.protocol import OnProgress, TrainRequest
from dlmi_bench.records import Cell, Record
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.measures import make_train_request


def train_beside(
    context: SuiteContext, cells: Iterable[Cell], on_progress: OnProgress, deadline_s: float | None = None
) -> Generator[Ended]:
    """Train side by side; one by one, in this process, what no other process has. Close it to kill what still runs."""
    here: list[TrainRequest] = []
    others: list[TrainRequest] = []
    for cell in cells:
        (here if context.is_here_only(cell) else others).append(make_train_request(context, cell, is_timed=False))
    with Pool(others, deadline_s=deadline_s) as pool:
        yield from pool.wait(on_progress)
    for request in here:
        begin_s = time.monotonic()
        if deadline_s is not None and begin_s >= deadline_s:
            return
        result: Record | BenchError
        try:
            result = context.ask(request, on_progress, request.cell)
        except BenchError as error:
            result = error
        yield Ended(request, result, time.monotonic() - begin_s)
