"""Many stores into one: every attempt and every file of each, or nothing where two of them disagree on a cell.

One store is open at a time, and of its attempts only names and digests are held, so that hundreds of shards fit.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from dlmi_bench.errors import StoreError, UsageError
from dlmi_bench.records import Artifact, Plain
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact, read_artifact
from dlmi_bench.store.rows import StoredRow, parse_record
from dlmi_bench.store.shards import Shard

MAX_NAMED = 10  # cells that an error names
Tell = Callable[[str], None]
ARTIFACTS = TypeAdapter(tuple[Artifact, ...])


class Conflict(Plain):
    """A cell that several stores finished with different results: the one whose result holds, and the others."""

    cell: str
    kept: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """What was merged."""

    n_attempts: int
    shards: tuple[Shard, ...]
    conflicts: tuple[Conflict, ...] = ()


@dataclass(slots=True)
class _Entry:
    """An attempt: its place among those of its store, and what tells whether two attempts are the same."""

    store: int
    place: int
    identity: bytes
    key: str
    is_done: bool
    finished_at: str
    result: bytes
    files: bytes


@dataclass
class _Found:
    """Attempts of all stores that were read so far, each once; `latest` and `superseded` hold identities."""

    entries: list[_Entry] = field(default_factory=list)
    counts: dict[bytes, int] = field(default_factory=dict)
    latest: dict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))  # with the stores
    superseded: set[bytes] = field(default_factory=set)

    def holds(self, entry: _Entry) -> bool:
        """Tell whether it is the latest attempt of a store, and no other store has gone on from it."""
        return entry.identity in self.latest and entry.identity not in self.superseded


def merge_stores(
    sources: Sequence[Path],
    target: Store,
    *,
    prefer: Sequence[Path] = (),
    tell: Tell = lambda _: None,
) -> Merged:
    """Write all attempts and files of the stores in `sources` into `target`, which holds none.

    An attempt that several stores share is written once. Where a cell is done in one store and failed in another, it
    is done; where one store has gone on from another's state, its later attempt holds.

    Args:
        prefer: Those of `sources` whose results hold where several finished a cell differently, the first one first.
        tell: Is told of the progress, a line at a time.

    Raises:
        StoreError: two stores finished a cell differently and neither is preferred, or a file is missing or damaged;
            no attempt is written then.
        UsageError: the target holds results.
    """
    if next(target.stream(), None):
        raise UsageError(f"{target.folder}: holds results already", "name a new folder with --to")
    found, shards = _Found(), []
    for number, folder in enumerate(sources):
        tell(f"reading store {number + 1} of {len(sources)}: {folder}")
        shards.append(_read(folder, number, found))
    conflicts = _settle(found, sources, [sources.index(folder) for folder in prefer])
    ordered = _order(found, {conflict.cell: sources.index(Path(conflict.kept)) for conflict in conflicts})
    target.add_placed(_copy(ordered, found, sources, target, tell))
    return Merged(len(ordered), tuple(shards), tuple(conflicts))


def check_preferred(prefer: Iterable[Path], sources: Sequence[Path]) -> None:
    """Raise UsageError if a store is preferred that is not merged."""
    if unknown := [folder for folder in prefer if folder not in sources]:
        raise UsageError(f"--prefer: {unknown[0]} is none of the stores", "name one of those that are merged")


def _read(folder: Path, number: int, found: _Found) -> Shard:
    """Read one store into what was found so far; returns what it was made with."""
    shard, seen, current = Shard(str(folder)), defaultdict[bytes, int](int), set[bytes]()
    with closing(Store(folder, must_exist=True)) as store:
        for place, (row, is_newest) in enumerate(store.stream()):
            record = parse_record(row)
            entry = _make_entry(row, number, place, record.artifacts if record else ())
            shard.add(row, record, is_newest=is_newest)
            seen[entry.identity] += 1
            if seen[entry.identity] > found.counts.get(entry.identity, 0):  # two equal ones of one store stay two
                found.counts[entry.identity] = seen[entry.identity]
                found.entries.append(entry)
            if is_newest:
                current.add(entry.identity)
    for identity in current:
        found.latest[identity].append(number)
    found.superseded |= set(seen) - current
    return shard


def _make_entry(row: StoredRow, store: int, place: int, artifacts: tuple[Artifact, ...]) -> _Entry:
    identity = f"{row.digest is None} {row.digest or row.sign().digest}"
    result = hashlib.sha256(f"{row.fingerprint} {row.record}".encode()).digest()
    files, is_done = ARTIFACTS.dump_json(artifacts), row.status == "done"
    digest = hashlib.sha256(identity.encode()).digest()
    return _Entry(store, place, digest, row.key, is_done, row.finished_at, result, files)


def _settle(found: _Found, sources: Sequence[Path], preferred: Sequence[int]) -> list[Conflict]:
    """Find cells with two results, and whose holds; one and the same result twice is no conflict.

    Raises:
        StoreError: no store that is preferred has one.
    """
    results: dict[str, dict[bytes, int]] = defaultdict(dict)
    for entry in found.entries:
        if entry.is_done and found.holds(entry):
            for store in found.latest[entry.identity]:
                results[entry.key].setdefault(entry.result, store)
    apart = {key: list(stores.values()) for key, stores in sorted(results.items()) if len(stores) > 1}
    holding = {key: next((n for n in preferred if n in stores), None) for key, stores in apart.items()}
    if open_ := {key: stores for key, stores in apart.items() if holding[key] is None}:
        raise _explain(open_, sources)
    return [
        Conflict(cell=key, kept=str(sources[kept]), others=tuple(str(sources[n]) for n in apart[key] if n != kept))
        for key, kept in holding.items()
        if kept is not None
    ]


def _explain(apart: dict[str, list[int]], sources: Sequence[Path]) -> StoreError:
    named = [f"{key} ({', '.join(str(sources[n]) for n in stores)})" for key, stores in apart.items()]
    more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return StoreError(
        f"finished apart in two stores: {', '.join(named[:MAX_NAMED])}{more}; nothing was written",
        "merge stores of different cells (`run --shard`), compare the two (`report --against`), or name the store "
        "whose results hold (`merge --prefer STORE`)",
    )


def _order(found: _Found, kept: dict[str, int]) -> list[_Entry]:
    """Order the attempts: the last of a cell is the one that holds.

    What is done comes after what failed, both after what was redone, and what is preferred last.
    """

    def rank(entry: _Entry) -> tuple[bool, bool, bool, str]:
        is_kept = kept.get(entry.key) in found.latest.get(entry.identity, ())
        return found.holds(entry), entry.is_done, entry.is_done and is_kept, entry.finished_at

    return sorted(found.entries, key=rank)


def _copy(
    ordered: list[_Entry], found: _Found, sources: Sequence[Path], target: Store, tell: Tell
) -> Iterator[tuple[int, StoredRow]]:
    """Copy the files of every store, and yield its rows with their places in the new one."""
    parts: dict[int, dict[int, tuple[int, _Entry]]] = defaultdict(dict)
    for number, entry in enumerate(ordered, 1):
        parts[entry.store][entry.place] = number, entry
    copied: set[str] = set()
    for store, part in sorted(parts.items()):
        tell(f"copying store {store + 1} of {len(sources)}: {sources[store]}")
        with closing(Store(sources[store], must_exist=True)) as source:
            for place, (row, _) in enumerate(source.stream()):
                if place in part:
                    number, entry = part[place]
                    _copy_files(entry, source.folder, target.folder, copied, must_be_whole=found.holds(entry))
                    yield number, row


def _copy_files(entry: _Entry, source: Path, target: Path, copied: set[str], *, must_be_whole: bool) -> None:
    """Copy every file that is whole and not yet there; those of the attempts that hold must be."""
    for artifact in ARTIFACTS.validate_json(entry.files):
        if artifact.sha256 in copied and artifact_path(target, artifact).is_file():
            continue
        try:
            content = read_artifact(source, artifact)
        except StoreError as error:
            if must_be_whole:
                raise StoreError(f"{entry.key}: {error.cause}", error.remedy) from error
            continue
        put_artifact(target, artifact.role, content, artifact.suffix)
        copied.add(artifact.sha256)
