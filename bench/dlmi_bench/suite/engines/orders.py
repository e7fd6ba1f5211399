"""The driver's side of an order: what a node is told, and what is made of its answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.instruments.host.provenance import describe_versions
from dlmi_bench.records import Cell, Record
from dlmi_bench.store.artifacts import put_artifact, read_artifact
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.engines import Work
from dlmi_bench.suite.engines.node import NodeRequest
from dlmi_bench.suite.engines.transport import Files, Order, Parcel, list_artifacts
from dlmi_bench.suite.fingerprint import fingerprint_cell
from dlmi_bench.suite.plan import needs_training


@dataclass(frozen=True)
class Lost:
    """Work that a node did not end.

    Attributes:
        may_again: Whether another try is left to it.
    """

    cause: str
    may_again: bool = True


@dataclass(frozen=True)
class Answer:
    """What became of an order: records, an error or a loss; with the name of the node, and what it printed."""

    result: list[Record] | BenchError | Lost
    place: str = "nowhere"
    log: str = ""


def make_order(
    context: SuiteContext, work: Work, *, run: str, name: str, settings: dict[str, str]
) -> tuple[bytes, Files]:
    """The order, with what the driver knows, so that a node that knows something else refuses; and the files for it."""
    trained = _find_trained(context, work)

    def compute_expected(cell: Cell) -> str:
        return fingerprint_cell(context, cell, is_timed=work.is_timed, machine="")

    request = NodeRequest(
        suite=context.suite,
        kind=work.kind,
        cells=work.cells,
        is_timed=work.is_timed,
        trained=trained,
        expected={cell.key: compute_expected(cell) for cell in work.cells},
        versions=describe_versions(),
    )
    order = Order(run=run, name=name, settings=settings, request=request)
    files = {a.sha256: read_artifact(context.folder, a) for a in list_artifacts(request)}
    return order.model_dump_json().encode(), files


def _find_trained(context: SuiteContext, work: Work) -> tuple[Record, ...]:
    needed = [(cell.task, cell.model) for cell in work.cells if needs_training(cell, context.suite)]
    return tuple(context.trained[arm] for arm in dict.fromkeys(needed))


def unpack(content: bytes, files: Mapping[str, bytes], work: Work, folder: Path) -> Answer:
    """Keep the files of a parcel in the store's folder, and give its records.

    Args:
        work: What was ordered; a node that answers something else is not believed.
    """
    try:
        parcel = Parcel.model_validate_json(content)
    except ValidationError as error:
        return Answer(_refuse(f"{error.error_count()} fields do not fit"))
    return Answer(_read(parcel, files, work, folder), parcel.node, parcel.log)


def _read(parcel: Parcel, files: Mapping[str, bytes], work: Work, folder: Path) -> list[Record] | BenchError | Lost:
    if parcel.is_lost:
        return Lost(f"{parcel.node}: {parcel.error}")
    if parcel.error:
        return (UsageError if parcel.is_usage else BenchError)(f"{parcel.node}: {parcel.error}", parcel.remedy)
    if [record.cell for record in parcel.records] != [*work.cells]:
        return _refuse("it is about other cells")
    for artifact in (a for record in parcel.records for a in record.artifacts):
        content = files.get(artifact.sha256, b"")
        if put_artifact(folder, artifact.role, content, artifact.suffix) != artifact:
            return Lost(f"{parcel.node}: its {artifact.role} file is not what its record says")
    return [*parcel.records]


def _refuse(what: str) -> BenchError:
    return BenchError(f"a node's answer: {what}", "install the same dlmi-bench on driver and nodes")
