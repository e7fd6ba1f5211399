"""Several stores into one: every attempt and every file of each, or nothing where two of them disagree on a cell."""

from collections import Counter
from collections.abc import Iterable, Sequence

from dlmi_bench.errors import StoreError, UsageError
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact, read_artifact
from dlmi_bench.store.rows import StoredRow, parse_record

MAX_NAMED = 10  # cells that an error names


def merge_stores(sources: Sequence[Store], target: Store) -> int:
    """Write all attempts and files of `sources` into `target`, which holds none; returns the number of attempts.

    An attempt that several stores share is written once. Where a cell is done in one store and failed in another, it
    is done; where one store has gone on from another's state, its later attempt holds.

    Raises:
        StoreError: two stores finished a cell differently, or a file is missing or damaged; no attempt is written then.
        UsageError: the target holds results.
    """
    if target.rows():
        raise UsageError(f"{target.folder}: holds results already", "name a new folder with --to")
    found: Counter[StoredRow] = Counter()
    latest: set[StoredRow] = set()
    superseded: set[StoredRow] = set()
    for store in sources:
        rows = store.rows()
        current = {row.key: row for row in rows}
        found |= Counter(rows)  # two equal attempts of one store stay two
        latest |= set(current.values())
        superseded |= set(rows) - set(current.values())
    latest -= superseded
    _check_agreement(row for row in latest if row.status == "done")
    for store in sources:
        _copy_files(store, target, latest)
    # The last row of a cell is the one that holds: what is done comes after what failed, both after what was redone.
    ordered = sorted(found.elements(), key=lambda row: (row in latest, row.status == "done", row.finished_at))
    target.add_rows(ordered)
    return len(ordered)


def _check_agreement(done: Iterable[StoredRow]) -> None:
    """Refuse cells with two results; one and the same result twice (a file imported twice) is no conflict."""
    counts = Counter(key for key, *_ in {(row.key, row.fingerprint, row.record) for row in done})
    apart = sorted(key for key, n in counts.items() if n > 1)
    if apart:
        more = f" and {len(apart) - MAX_NAMED} more" if len(apart) > MAX_NAMED else ""
        raise StoreError(
            f"finished apart in two stores: {', '.join(apart[:MAX_NAMED])}{more}",
            "merge stores of different cells (`run --shard`), or compare the two: `report --against`",
        )


def _copy_files(store: Store, target: Store, latest: set[StoredRow]) -> None:
    """Every file that is whole; those of the attempts that hold must be."""
    for row in store.rows():
        record = parse_record(row)
        for artifact in record.artifacts if record else ():
            try:
                content = read_artifact(store.folder, artifact)
            except StoreError as error:
                if row in latest:
                    raise StoreError(f"{row.key}: {error.cause}", error.remedy) from error
                continue
            if not artifact_path(target.folder, artifact).is_file():
                put_artifact(target.folder, artifact.role, content, artifact.suffix)
