"""What the stores of a merge were made with: commits, data and machines, and which of them stand out."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from dlmi_bench.records import Plain, Record
from dlmi_bench.store.rows import StoredRow

N_DIGITS = 12  # of a hash
COMMIT, MACHINE = "commit", "machine"


@dataclass
class Shard:
    """A store that is merged.

    Attributes:
        n_cells: Cells that it finished.
        facts: By what it is about (commit, machine, data of a name and part), values with the number of cells.
    """

    name: str
    n_cells: int = 0
    n_attempts: int = 0
    facts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, row: StoredRow, record: Record | None, *, is_newest: bool) -> None:
        """Count an attempt, and what its record was made with."""
        self.n_attempts += 1
        if is_newest and row.status == "done":
            self.n_cells += 1
            if record is not None and record.cell.kind != "imported":
                for what, value in _list_facts(record.provenance):
                    self.facts[what][value] += 1


class StandsOut(Plain):
    """A value that most stores do not have, with those that have it; `most` is the one that the most have."""

    what: str
    value: str
    stores: tuple[str, ...]
    most: str


def _list_facts(provenance: dict[str, JsonValue]) -> Iterator[tuple[str, str]]:
    yield COMMIT, str(provenance.get("commit") or "unknown")[:N_DIGITS]
    machine, data = provenance.get("machine"), provenance.get("data")
    cpu = machine.get("cpu") if isinstance(machine, dict) else None
    yield MACHINE, f"{provenance.get('machine_id') or 'unknown'}{f' ({cpu})' if cpu else ''}"
    hashes = data.get("sha256") if isinstance(data, dict) else None
    if isinstance(data, dict) and isinstance(hashes, dict):
        yield from ((f"data {data.get('name', '')}, {part}", str(value)[:N_DIGITS]) for part, value in hashes.items())


def find_outstanding(shards: Sequence[Shard]) -> list[StandsOut]:
    """Find the values of commit, data and machine that few stores have, where they do not all have the same one."""
    having: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for shard in shards:
        for what, values in shard.facts.items():
            for value in values:
                having[what][value].append(shard.name)
    found = []
    for what, stores in having.items():
        most, *others = sorted(stores, key=lambda value: -len(stores[value]))
        found += [StandsOut(what=what, value=value, stores=tuple(stores[value]), most=most) for value in others]
    return found
