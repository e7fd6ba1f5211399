"""Kinds of machine that costs were measured on: a cost belongs to one of them, and none is pooled over several."""

from collections.abc import Collection, Iterable

from dlmi_bench.instruments.host.kinds import describe_kind
from dlmi_bench.records import CellKind, Record
from dlmi_reports.results.compact import list_conditions, list_names, list_values

SEVERAL = "measured on different kinds of machine"
NOT_COMPARABLE = f"not comparable: {SEVERAL}"
MEASURED: tuple[CellKind, ...] = ("latency", "energy", "memory")
COSTLY: tuple[CellKind, ...] = ("train", *MEASURED)  # cells whose figures depend on the machine
REPORTED = "reported by others"  # source of answers that no training here gave


def find_kind(record: Record) -> str | None:
    """Find the kind of machine of a record; None of one that others reported, which has no machine here."""
    if any(conditions.get("backend") == REPORTED for conditions in list_conditions(record)):
        return None
    return describe_kind(record.provenance)


def is_cost(name: str) -> bool:
    """Tell whether a figure depends on the machine: a time or an energy, by its unit."""
    return name.endswith(("_s", "_j"))


def has_cost(training: Record) -> bool:
    """Tell whether a training was timed or metered."""
    return training.is_timed and any(is_cost(name) and list_values(training, name) for name in list_names(training))


def list_kinds(records: Iterable[Record], cells: Collection[CellKind] = COSTLY) -> list[str]:
    """List the kinds of machine on which cells of these kinds, by default all that depend on it, have costs."""
    costs = [r for r in records if r.cell.kind in cells and (r.cell.kind in MEASURED or has_cost(r))]
    return sorted({kind for record in costs if (kind := find_kind(record))})


def is_on(record: Record, kind: str | None) -> bool:
    """Tell whether a record belongs to the costs of a kind; any does where None is asked for."""
    return kind is None or find_kind(record) in (kind, None)
