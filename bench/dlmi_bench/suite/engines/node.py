"""The node's side: one piece of work, done as on the machine of the driver, if the two have the same code and data.

Runs in a fresh worker process of the run, so that no code of an earlier run or an earlier version is in it.
"""

import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.host.activity import read_load
from dlmi_bench.instruments.host.provenance import describe_environment, describe_versions
from dlmi_bench.jobs.protocol import OnProgress, Request
from dlmi_bench.jobs.training import run_train_cell
from dlmi_bench.records import Cell, CellKind, Record
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.fingerprint import fingerprint_cell
from dlmi_bench.suite.measures import MEASURES, make_train_request
from dlmi_bench.suite.pace import list_changes
from dlmi_bench.suite.suites import Suite

Records = tuple[Record, ...]


class NodeRequest(Request[Records]):
    """Do a piece of work on a node.

    Attributes:
        trained: Records of the trainings that are measured, whose files are in `out`.
        expected: What decides the results as the driver knows it, by cell: fingerprints, without the machine.
        versions: Of packages, at the driver.
        out: Folder on the node, for the files that the work makes.
    """

    job = "dlmi_bench.suite.engines.node:run_node_job"
    suite: Suite
    kind: CellKind
    cells: tuple[Cell, ...]
    is_timed: bool
    trained: tuple[Record, ...] = ()
    expected: dict[str, str]
    versions: dict[str, str]
    out: str = ""


def run_node_job(request: NodeRequest, on_progress: OnProgress) -> Records:
    """Do the work, and say where.

    Raises:
        UsageError: code, packages or data of the node are not the driver's.
    """
    data = _read_data(tuple(dict.fromkeys(cell.task for cell in request.cells)))
    _prepare(data, request, on_progress)
    context = SuiteContext(request.suite, Path(request.out), data)
    context.trained = {(record.cell.task, record.cell.model): record for record in request.trained}
    check_alike(context, request)
    before, begin_s = read_load(), time.monotonic()
    try:
        records = _run(context, request, on_progress)
    finally:
        context.close()
    own = {name: part for name, part in describe_environment().items() if name != "date"}  # clocks differ
    where: dict[str, JsonValue] = {
        **own,
        "load_before": asdict(before),
        "load_after": asdict(read_load()),
        "took_s": (time.monotonic() - begin_s) / len(records),
    }
    return tuple(record.model_copy(update={"provenance": where | record.provenance}) for record in records)


def _run(context: SuiteContext, request: NodeRequest, on_progress: OnProgress) -> list[Record]:
    if request.kind == "train":  # in this process, which is a worker as it is
        asked = [make_train_request(context, cell, is_timed=request.is_timed) for cell in request.cells]
        return [run_train_cell(one, on_progress) for one in asked]
    return MEASURES[request.kind].run(context, [*request.cells], on_progress)


def check_alike(context: SuiteContext, request: NodeRequest) -> None:
    """Check that the node would do what the driver asks for.

    Raises:
        UsageError: a package, the code or the data differ.
    """
    for cell in request.cells:
        if fingerprint_cell(context, cell, is_timed=request.is_timed, machine="") == request.expected[cell.key]:
            continue
        changes = list_changes(request.versions, {**describe_versions()})
        cause = f"driver and node differ: {', '.join(changes)}" if changes else "node has other code or other data"
        raise UsageError(f"{cell.key}: {cause}", "install the same version of everything on both, and the same data")


@cache
def _read_data(names: tuple[str, ...]) -> TaskData:
    return TaskData(names)


def _prepare(data: TaskData, request: NodeRequest, on_progress: OnProgress) -> None:
    """Read the data, and what models are pretrained on; the first worker of a node fetches them, the others wait."""
    models = {(cell.task, cell.model) for cell in request.cells if cell.kind != "references"}
    for name, task in data.tasks.items():
        if name not in data.described:
            data.described[name] = task.load().describe()  # the driver audits them
        data.prepare(name, [model for task, model in models if task == name], on_progress)
