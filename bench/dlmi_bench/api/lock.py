"""Locking claims before a run, as a function."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlmi_bench.api.answer import Answer
from dlmi_bench.errors import UsageError

if TYPE_CHECKING:
    from dlmi_bench.suite.suites import Suite
    from dlmi_reports.claims.file import ClaimFile
    from dlmi_reports.claims.lock import Fields, Lock


def lock_claims(
    out: str | Path = "out",
    *,
    file: str | Path | None = None,
    suite: "str | Suite | None" = None,
    n_seeds: int | None = None,
) -> "Answer[Lock]":
    """Lock claims before a run: `out`/claims.lock.json keeps them, the data and the suite, to name later what changed.

    Args:
        out: Folder of the results to come.
        file: Claims in TOML; by default those of `judge_claims`, the course's about the tasks of `suite`.
        suite: Name of a suite, path of a TOML file, or a `Suite`; by default none is locked.
        n_seeds: Trainings of each model.

    Returns:
        The lock; one claim a row, with the sha256 of its fields.

    Raises:
        UsageError: there is a lock, or the file or the suite is wrong.
        DataError, FetchError: a task's data cannot be had.

    Example:
        >>> import dlmi_bench, tempfile
        >>> locked = dlmi_bench.lock_claims(tempfile.mkdtemp(), suite=suite_file)
        >>> sorted(locked.content.data)
        ['usps']
    """
    from importlib.metadata import version

    from dlmi_bench.jobs.plugins import load_entry_points
    from dlmi_bench.suite.suites import load_suite, override
    from dlmi_reports.claims.lock import list_tasks, make_lock, refuse_replacing, write_lock

    folder = Path(out)
    refuse_replacing(folder)  # before data are loaded
    load_entry_points()
    chosen = load_suite(suite) if isinstance(suite, str) else suite
    chosen = override(chosen, n_seeds=n_seeds) if chosen else None
    name, stated = _choose_claims(folder, Path(file) if file else None, chosen)
    settings: Fields = chosen.model_dump(mode="json") if chosen else {"n_seeds": n_seeds} if n_seeds else {}
    data = _hash_data(list_tasks(stated))
    lock = make_lock(stated, version=version("dlmi-bench"), file=name, data=data, suite=settings)
    path = write_lock(lock, folder)
    rows: list[dict[str, object]] = [{"id": name, "sha256": claim.sha256} for name, claim in lock.claims.items()]
    return Answer(lock, rows, _describe(lock, path, list_tasks(stated)))


def _choose_claims(folder: Path, file: Path | None, suite: "Suite | None") -> "tuple[str, ClaimFile]":
    """Choose the claims as `judge_claims` will, with the name of their file; empty for the course's."""
    from dlmi_reports.claims.file import find_claims, load_claims, select_claims

    if path := file or find_claims(folder):
        return path.name, load_claims(path)
    stated = load_claims()
    chosen = select_claims(stated, suite.tasks) if suite else stated
    if not chosen.claim:
        raise UsageError(f"{folder}: no claims about these tasks", "state them in a file, and name it with --file")
    return "", chosen


def _hash_data(tasks: Iterable[str]) -> dict[str, dict[str, str]]:
    """Hash the data of each task that is known here."""
    from dlmi_tasks import TASKS, get_task

    described: dict[str, Any] = {task: get_task(task).load().describe() for task in tasks if task in TASKS}
    return {task: found["sha256"] for task, found in described.items()}


def _describe(lock: "Lock", path: Path, tasks: list[str]) -> str:
    lines = [
        f"{len(lock.claims)} claims locked in {path}, with the data of {', '.join(lock.data) or 'no task'}",
        f"sha256 {lock.sha256}: commit the file, or publish this, before the run",
    ]
    if unknown := [task for task in tasks if task not in lock.data]:
        lines.append(f"not locked: the data of {', '.join(unknown)}, unknown here; name the STUDY.py of your own tasks")
    return "\n".join(lines)
