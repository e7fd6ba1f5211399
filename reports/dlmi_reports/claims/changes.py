"""Changes since the claims were locked: of claims, data, suite and file, beside their verdicts."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any

from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic.fields import FieldInfo

from dlmi_bench.records import ARM
from dlmi_bench.units import clean_line
from dlmi_reports.claims.file import ClaimFile, load_claims
from dlmi_reports.claims.kinds import Claim
from dlmi_reports.claims.lock import Lock, dump_claim, dump_settings, list_tasks, load_lock
from dlmi_reports.claims.prose import WIDTH, format_verdicts
from dlmi_reports.claims.verdicts import Judgement, Verdicts, choose_claims, judge_claims
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.provenance import read_provenance

MAX_CHARACTERS = 40  # of a value that is shown
MAX_NAMES = 20
N_DIGITS = 16  # of the digest of the lock
Values = Mapping[str, JsonValue]


@dataclass(frozen=True)
class LockCheck:
    """What has changed since the lock: of the file as a whole, and by claim. Empty without a lock."""

    lines: tuple[str, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LockedVerdicts(Verdicts):
    """Verdicts, and what has changed since their claims were locked."""

    lock: LockCheck = LockCheck()


def judge_results(results: Results, path: Path | None = None, *, is_one_family: bool = False) -> LockedVerdicts:
    """Judge the claims of a file, or those of `choose_claims`, and compare them with the lock in the folder.

    Args:
        is_one_family: Correct all claims together, whatever families the file has.

    Raises:
        UsageError: the file is wrong.
        DataError: the lock is damaged.
    """
    stated = load_claims(path) if path else choose_claims(results)
    return add_changes(judge_claims(stated.unite() if is_one_family else stated, results), stated, results)


def add_changes(verdicts: Verdicts, stated: ClaimFile, results: Results) -> LockedVerdicts:
    """Add to each verdict's evidence what has changed since the lock.

    Args:
        stated: The whole file, with claims that were left out because their tasks have no results.
    """
    lock = load_lock(results.folder)
    check = check_lock(lock, stated, results) if lock else LockCheck()
    families = tuple(
        replace(family, judgements=tuple(_add_notes(judged, check) for judged in family.judgements))
        for family in verdicts.families
    )
    return LockedVerdicts(families, verdicts.alpha, verdicts.looks, check)


def _add_notes(judged: Judgement, check: LockCheck) -> Judgement:
    return replace(judged, evidence=(*judged.evidence, *check.notes.get(judged.claim.id, ())))


def format_locked(verdicts: LockedVerdicts) -> str:
    """Write the verdicts as plain text, below what has changed since the lock."""
    lines = [part for line in verdicts.lock.lines for part in wrap(line, WIDTH, subsequent_indent="  ")]
    return "\n".join([*lines, *([""] if lines else []), format_verdicts(verdicts)])


def check_lock(lock: Lock, stated: ClaimFile, results: Results) -> LockCheck:
    """Compare the claims, the data and the suite with what was locked."""
    tasks = [name for name in list_tasks(stated) if name in results.tasks]
    changed = {name for name in tasks if name in lock.data and _has_other_data(results.tasks[name], lock.data[name])}
    notes = {claim.id: tuple(map(clean_line, _list_notes(claim, lock, changed))) for claim in stated.claim}
    added = [name for name in notes if name not in lock.claims]
    groups = {
        "Claims changed after lock": [name for name, found in notes.items() if found and name not in added],
        "Claims added after lock": added,
        "Claims removed after lock": _list_removed(lock, stated, results),
        "Data was not locked of": [name for name in tasks if name not in lock.data],
    }
    lines = [
        _describe_time(lock, results),
        *_describe_changes("File", lock.settings.fields, dump_settings(stated), stated),
        *_describe_suite(lock, results),
        *(f"{what}: {_enumerate(names)}" for what, names in groups.items() if names),
    ]
    return LockCheck(tuple(map(clean_line, lines)), notes)


def _has_other_data(task: TaskResults, sha256: Mapping[str, str]) -> bool:
    return any(read_provenance(record).data.sha256 != sha256 for record in task.trainings)


def _describe_time(lock: Lock, results: Results) -> str:
    """Say when the claims were locked, and whether a training was done by then."""
    head = f"Claims locked on {_format_time(lock.locked_at)} (sha256 {lock.sha256[:N_DIGITS]}…)"
    if not results.first_trained:
        return f"{head}, before any training"
    first = _parse_time(results.first_trained)
    if first is None:
        return f"{head}; the time of the first training cannot be read"
    if lock.locked_at < first:
        return f"{head}, before the first training was done ({_format_time(first)})"
    return f"{head}, AFTER RESULTS EXISTED (first training {_format_time(first)})"


def _parse_time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _format_time(time: datetime) -> str:
    return f"{time.isoformat(sep=' ', timespec='seconds').removesuffix('+00:00')} UTC"


def _list_notes(claim: Claim, lock: Lock, changed: Collection[str]) -> list[str]:
    """List the changes of a claim and of the data of its tasks, which `changed` names."""
    locked = lock.claims.get(claim.id)
    if locked is None:
        return ["added after lock"]
    data = [f"the data of {task} changed after lock" for task in claim.list_population("task") if task in changed]
    return [*_describe_changes("", locked.fields, dump_claim(claim), claim), *data]


def _describe_suite(lock: Lock, results: Results) -> list[str]:
    """Name the settings of trainings that differ from the locked ones, each with all values that it had."""
    later: dict[str, list[JsonValue]] = {}
    for record in (record for task in results.tasks.values() for record in task.trainings):
        suite = read_provenance(record).suite
        for name, then in lock.suite.items():
            if name in suite and suite[name] not in (then, *later.get(name, [])):
                later.setdefault(name, []).append(suite[name])
    changes = ", ".join(f"{name} {_show(lock.suite[name])} -> {_enumerate(now, ' or ')}" for name, now in later.items())
    return [f"Suite changed after lock: {changes}"] if changes else []


def _describe_changes(what: str, then: Values, now: Values, model: BaseModel | None = None) -> list[str]:
    """Name the fields that differ; one that is newer than the lock had its default then."""
    known = type(model).model_fields if model else {}
    newer = {name: _read_default(known[name]) for name in now if name in known and name not in then}
    before = newer | dict(then)
    names = [name for name in {**then, **now} if before.get(name) != now.get(name)]
    changes = ", ".join(f"{name} {_show(before.get(name))} -> {_show(now.get(name))}" for name in names)
    return [f"{what} changed after lock: {changes}".lstrip()] if names else []


def _read_default(field_: FieldInfo) -> JsonValue:
    """Default of a field as JSON has it."""
    default = None if field_.is_required() else field_.get_default(call_default_factory=True, validated_data={})
    return TypeAdapter(Any).dump_python(default, mode="json")


def _show(value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def _list_removed(lock: Lock, stated: ClaimFile, results: Results) -> list[str]:
    """List locked claims that the file lacks; of the course's, which are chosen by task, those with results."""
    has = {claim.id for claim in stated.claim}
    tasks = {name.partition(ARM)[0] for name in results.tasks}
    return [
        name
        for name, locked in lock.claims.items()
        if name not in has and (lock.file or str(locked.fields.get("task")).partition(ARM)[0] in tasks)
    ]


def _enumerate(values: Sequence[object], sign: str = ", ") -> str:
    more = f" and {len(values) - MAX_NAMES} more" if len(values) > MAX_NAMES else ""
    return sign.join(map(_show, values[:MAX_NAMES])) + more
