"""Records of a store, grouped by task and model."""

import hashlib
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dlmi_bench.errors import StoreError, UsageError, list_choices
from dlmi_bench.records import ARM, Cell, CellKind, Mark, Note, Record
from dlmi_bench.store import Store
from dlmi_bench.store.rows import Attempt, make_attempt
from dlmi_bench.units import clean_all, clean_line, clean_text, format_count
from dlmi_reports.results.compact import Pool, add_notes
from dlmi_reports.results.folds import METRICS, group_repeats
from dlmi_reports.results.machines import COSTLY
from dlmi_reports.results.marks import find_invalid
from dlmi_reports.results.memo import remember
from dlmi_reports.results.model import ModelResults, is_grouped
from dlmi_reports.results.provenance import Provenance, read_provenance

CLUSTERED = (
    "images of one group are counted as independent, so that the intervals of accuracies and of their differences are "
    "too narrow"
)
AS_UNITS = "a group of images is one unit of the intervals of accuracies and of their differences"
RANKED = ("latency_s", "inference_energy_j")


@dataclass
class TaskResults:
    """All models of one task, in the order in which they were first run.

    Attributes:
        kind: The only kind of machine whose costs count, see `on`; None for any.
    """

    name: str
    models: dict[str, ModelResults] = field(default_factory=dict)
    observers: Record | None = None
    chosen_reference: str | None = None
    kind: str | None = None
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def kinds(self) -> list[str]:
        """Kinds of machine that costs of its models were measured on."""
        return sorted({kind for model in self.models.values() for kind in model.list_kinds()})

    @property
    def by_kind(self) -> list["TaskResults"]:
        """The results with the costs of each kind of machine; as they are where there is one."""
        return [self.on(kind) for kind in self.kinds] if len(self.kinds) > 1 else [self]

    @remember
    def on(self, kind: str) -> "TaskResults":
        """Return the results with the costs of one kind of machine only; see `ModelResults.on`."""
        return replace(self, kind=kind, models={name: model.on(kind) for name, model in self.models.items()})

    def list_sides(self, *cells: CellKind) -> list[ModelResults]:
        """List the models by size, each once for every kind of machine on which those cells have costs.

        A model without such costs is listed as it is, and so are all where there is one kind of machine.
        """
        if len(self.kinds) < 2:
            return self.by_size
        sides = [(model, model.list_kinds(cells or COSTLY)) for model in self.by_size]
        return [side for model, kinds in sides for side in (map(model.on, kinds) if kinds else [model])]

    @property
    def by_size(self) -> list[ModelResults]:
        """The models, fewest parameters first."""
        return sorted(self.models.values(), key=lambda model: model.n_parameters)

    @cached_property
    def reference(self) -> ModelResults | None:
        """Model that the others are compared with: the chosen one, otherwise the most accurate one."""
        if self.chosen_reference in self.models:
            return self.models[self.chosen_reference]
        found = [(a.mean, model) for model in self.models.values() if (a := model.compute_accuracy())]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    @property
    def trainings(self) -> Iterator[Record]:
        for model in self.models.values():
            yield from model.trainings

    @cached_property
    def provenance(self) -> Provenance:
        """Data, splits and target of the first training; empty if there is none."""
        return next(map(read_provenance, self.trainings), Provenance())

    @property
    def is_reported(self) -> bool:
        """Tell whether its answers are those that others reported."""
        return any(model.is_reported for model in self.models.values())

    @property
    def is_synthetic(self) -> bool:
        return self.provenance.data.is_synthetic


@dataclass
class Results:
    """Everything that a report shows; `records` includes those imported from other tools.

    `first_trained` is when the first training of the store was done; empty if there is none.
    """

    tasks: dict[str, TaskResults]
    records: list[Record]
    failures: list[Attempt]
    attempts: list[Attempt]
    folder: Path = Path()
    first_trained: str = ""

    @cached_property
    def kinds(self) -> list[str]:
        """Kinds of machine that costs of any task were measured on."""
        return sorted({kind for task in self.tasks.values() for kind in task.kinds})

    @property
    def own(self) -> list[Record]:
        """Records that were measured here."""
        return [record for record in self.records if record.cell.kind != "imported"]

    @property
    def trained(self) -> Iterator[tuple[TaskResults, ModelResults]]:
        """Every model that was trained, with its task."""
        return ((task, m) for task in self.tasks.values() for m in task.models.values() if m.compute_accuracy())

    @property
    def imported(self) -> list[Record]:
        return [record for record in self.records if record.cell.kind == "imported"]


def load_results(store: Store, *, reference: str | None = None) -> Results:
    """Load the current records of a store; `reference` names the model that the others are compared with.

    Raises:
        StoreError: there is none.
        UsageError: no such model.
    """
    attempts, cells, failures = _read_attempts(store)
    records = [attempt.record for attempt in attempts if attempt.record]
    if not records:
        raise _explain_empty(store, [attempt.error or "" for attempt in failures])
    tasks = _group(cells, records, reference, store.folder)
    models = sorted({name for task in tasks.values() for name in task.models})
    if reference is not None and reference not in models:
        raise UsageError(f"--reference: no {reference!r} in {store.folder}", list_choices(reference, models))
    return Results(tasks, records, failures, attempts, store.folder, store.find_first_training())


def _read_attempts(store: Store) -> tuple[list[Attempt], list[Cell], list[Attempt]]:
    """Read the latest attempt of every cell, the cells of those with a record as stored, and all failed attempts."""
    latest: dict[str, tuple[Attempt, Cell | None]] = {}
    failures, pool = [], Pool()
    for row, is_newest in store.stream():
        attempt = make_attempt(row)
        shown = _clean_attempt(attempt, row.record or "", pool)
        if attempt.status == "failed":
            failures.append(shown)
        if is_newest:
            latest[row.key] = shown, attempt.record.cell if attempt.record else None
    cells = [cell for _, cell in latest.values() if cell]
    return [attempt for attempt, _ in latest.values()], cells, failures


def _explain_empty(store: Store, errors: list[str]) -> StoreError:
    """Make the error of a store without a finished cell: cause and remedy of the last failure that has one."""
    if not errors:
        return StoreError(f"{store.folder}: no finished cell", "run `dlmi-bench run` first")
    last = next((error for error in reversed(errors) if "\n  remedy: " in error), errors[-1])
    cause, _, remedy = last.partition("\n  remedy: ")
    said = f"{store.folder}: no finished cell; {len(errors)} attempts failed, with: {cause}"
    return StoreError(said, remedy or "fix that, then run again")


class ShownCell(Cell):
    """Cell with cleaned names, and the seed that it was run with."""

    run_seed: int

    @property
    def seed(self) -> int:
        return self.run_seed


def _clean_record(record: Record, text: str) -> Record:
    """Clean all text of a record once, so that no format can forget to; `text` is what the store holds of it."""
    if text.isprintable() and not any(sign in text for sign in ("\\", "::", "##[")):
        return record  # as nearly all are, of which there may be thousands
    content = clean_all(record.model_dump())
    cell = ShownCell(**content["cell"], run_seed=record.cell.seed)
    return Record.model_validate(content).model_copy(update={"cell": cell})


def _clean_attempt(attempt: Attempt, text: str, pool: Pool) -> Attempt:
    record = pool.compact(_clean_record(attempt.record, text)) if attempt.record else None
    key, fingerprint = clean_line(attempt.key), pool.share(attempt.fingerprint)
    error = clean_text(attempt.error or "")
    return Attempt(key, fingerprint, attempt.status, record, error, attempt.finished_at, attempt.has_digest)


def _group(cells: list[Cell], records: list[Record], reference: str | None, folder: Path) -> dict[str, TaskResults]:
    """Group records by `cells`, their own as stored: those stay apart whose cleaned names are alike."""
    tasks: dict[str, TaskResults] = {}
    for cell, record in sorted(zip(cells, records, strict=True), key=lambda pair: pair[0].seed_index):
        if cell.kind == "imported":
            continue  # measured in another way, so never compared with our models
        task = tasks.setdefault(cell.task, TaskResults(record.cell.task, chosen_reference=reference))
        if cell.kind == "references":
            task.observers = record
            continue
        new = ModelResults(record.cell.model, task=task.name, folder=folder)
        model = task.models.setdefault(cell.model, new)
        if cell.kind == "train":
            model.trainings.append(record)
        elif cell.kind == "tuning":
            model.trials.append(record)
        else:
            model.measured[cell.kind] = record
    for task in tasks.values():
        for model in task.models.values():
            _carry_invalid(model)
            _carry_clusters(model)
    return dict(sorted(tasks.items(), key=lambda item: ARM in item[0]))  # arms come last


def _carry_invalid(model: ModelResults) -> None:
    """Mark latency and energy of a runtime whose answers are INVALID, with the same reason."""
    answers = [f for record in model.trainings[:1] for f in record.figures if f.name == "max_score_error"]
    invalid = {f.conditions.get("backend"): note for f in answers if (note := find_invalid(f))}
    if not invalid:
        return
    for kind, record in model.measured.items():
        figures = tuple(
            f.model_copy(update={"notes": (*f.notes, invalid[f.conditions["backend"]])})
            if f.name in RANKED and f.conditions.get("backend") in invalid
            else f
            for f in record.figures
        )
        model.measured[kind] = record.model_copy(update={"figures": figures})


def _carry_clusters(model: ModelResults) -> None:
    """Say of test figures whose images come in groups whether these are units, with how many there are."""
    first = next(iter(group_repeats(model.trainings)), ())
    clusters = [c for record in first if (c := read_provenance(record).clusters)]
    if not clusters:
        return
    n_groups, n_examples = sum(c.n_groups for c in clusters), sum(c.n_examples for c in clusters)
    counts = f"{format_count(n_groups)} groups, {format_count(n_examples)} images"
    known, unknown = Note(None, f"{AS_UNITS} ({counts})"), Note(Mark.CLUSTERED, f"{CLUSTERED} ({counts})")
    for index, record in enumerate(model.trainings):
        marked = {name: f for name in ("test_accuracy", *METRICS) if (f := record.figure(name))}
        notes = {name: known if is_grouped(figure) else unknown for name, figure in marked.items()}
        model.trainings[index] = add_notes(record, notes)


def make_slug(name: str) -> str:
    """Make a safe, short and unique file name for a task or a model of any name."""
    kept = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60]
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:6]}".strip("-")
