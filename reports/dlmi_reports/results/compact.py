"""Records of trainings as a report holds them: numbers in one array, and what trainings share kept once.

A store may hold hundreds of thousands of trainings whose figures have the same names, sources, methods and conditions.
A compact record answers as the record that it was made of; figures, details and artifacts are made when asked for.
"""

import math
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from pydantic import JsonValue, TypeAdapter
from pydantic_core import from_json, to_json

from dlmi_bench.records import Artifact, Cell, Details, Figure, Note, Record

COMPACT = ("train", "tuning", "imported")  # kinds of cells of which there may be thousands
N_COLUMNS = 4  # value, lo, hi, n
MAX_COUNT = 1 << 53  # whole numbers that a float holds
ARTIFACTS = TypeAdapter(tuple[Artifact, ...])
FIGURE_FIELDS = set(Figure.model_fields)
Remarks = tuple[tuple[Note, ...], tuple[float, ...], str]  # notes, samples, reason
VALUE, LO, HI, N, NOTES = map([*Figure.model_fields].index, ("value", "lo", "hi", "n", "notes"))
NO_REMARKS: Remarks = ((), (), "")
T = TypeVar("T")


class Heads:
    """Fields of a row of figures that are no numbers, nor remarks; shared by all records with the same ones."""

    __slots__ = ("_rendered", "fields", "places")

    def __init__(self, fields: tuple[dict[str, Any], ...]) -> None:
        self.fields = fields
        self._rendered: dict[Callable[[Any], Any], list[list[Any]]] = {}
        self.places: dict[str, list[int]] = {}
        for place, head in enumerate(fields):
            self.places.setdefault(head["name"], []).append(place)

    def render(self, render: Callable[[Any], T]) -> list[list[T]]:
        """Make a cell of each field of each figure; once."""
        if render not in self._rendered:
            rows = ({**head, "notes": [], "samples": []} for head in self.fields)
            self._rendered[render] = [[*map(render, row.values())] for row in rows]
        return self._rendered[render]

    def find(self, name: str, conditions: dict[str, Any]) -> int | None:
        """Find the place of the first figure of that name that meets all of `conditions`."""
        for place in self.places.get(name, ()):
            own = self.fields[place]["conditions"]
            if all(own.get(k) == v for k, v in conditions.items()):
                return place
        return None


class CompactRecord:
    """A record whose figures are columns: to its readers a `Record`."""

    __slots__ = ("_artifacts", "_details", "_heads", "_numbers", "_remarks", "cell", "failures", "provenance")

    def __init__(self, record: Record, pool: "Pool") -> None:
        self.cell = record.cell
        self.failures = record.failures
        self.provenance = pool.share_provenance(record.provenance)
        self._heads, self._remarks = pool.share_figures(record.figures)
        numbers = [x for f in record.figures for x in (f.value, f.lo, f.hi, f.n)]
        self._numbers = array("d", [math.nan if x is None else x for x in numbers])
        self._details = {pool.share(name): pool.share(to_json(part)) for name, part in record.details.items()}
        self._artifacts = pool.share(to_json(record.artifacts))

    @property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(map(self._make, range(len(self._heads.fields))))

    @property
    def details(self) -> Details:
        return cast("Details", {name: from_json(part) for name, part in self._details.items()})

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return ARTIFACTS.validate_json(self._artifacts)

    def _make(self, place: int) -> Figure:
        """Make a figure, as `model_construct` does, which looks at every field: tables ask for millions."""
        figure = Figure.__new__(Figure)
        object.__setattr__(figure, "__dict__", self._fill(place))
        object.__setattr__(figure, "__pydantic_fields_set__", FIGURE_FIELDS)
        object.__setattr__(figure, "__pydantic_extra__", None)
        object.__setattr__(figure, "__pydantic_private__", None)
        return figure

    def _fill(self, place: int) -> dict[str, Any]:
        """Fields of a figure, in the order of `Figure`."""
        fields = self._heads.fields[place].copy()
        fields["value"], fields["lo"], fields["hi"], fields["n"] = self._read(place)
        if place in self._remarks:
            fields["notes"], fields["samples"], fields["reason"] = self._remarks[place]
        return fields

    def _read(self, place: int) -> tuple[float | None, float | None, float | None, int]:
        value, lo, hi, n = self._numbers[N_COLUMNS * place : N_COLUMNS * (place + 1)]
        return _from_number(value), _from_number(lo), _from_number(hi), int(n)

    def figure(self, name: str, **conditions: Any) -> Figure | None:
        """The first figure of that name that meets all of `conditions`."""
        place = self._heads.find(name, conditions)
        return None if place is None else self._make(place)

    @property
    def places(self) -> dict[str, list[int]]:
        """Places of the figures, by name."""
        return self._heads.places

    def list_conditions(self) -> list[dict[str, Any]]:
        """List the conditions of the figures."""
        return [fields["conditions"] for fields in self._heads.fields]

    @property
    def n_figures(self) -> int:
        return len(self._heads.fields)

    def list_values(self, name: str) -> list[float | None]:
        """List the values of the figures of that name; None of those that are not available."""
        return [_from_number(self._numbers[N_COLUMNS * place]) for place in self._heads.places.get(name, ())]

    def find_noted(self, name: str) -> Figure | None:
        """Find the first figure of that name if it has notes."""
        place = self._heads.find(name, {})
        return self._make(place) if place is not None and self._remarks.get(place, NO_REMARKS)[0] else None

    def find_detail(self, name: str) -> Any:
        """Find one of the details; None where there is none."""
        part = self._details.get(name)
        return None if part is None else from_json(part)

    def list_fields(self) -> Iterator[dict[str, Any]]:
        """List the figures as JSON has them, keys in the order of `Figure`."""
        for place in range(self.n_figures):
            fields = self._fill(place)
            fields["notes"], fields["samples"] = [*map(str, fields["notes"])], [*fields["samples"]]
            yield fields

    def list_cells(self, render: Callable[[Any], T]) -> Iterator[list[T]]:
        """List the same fields, each made a cell by `render`; what records share is made once."""
        for place, shared in enumerate(self._heads.render(render)):
            cells, numbers = shared.copy(), self._read(place)
            cells[VALUE], cells[LO], cells[HI], cells[N] = map(render, numbers)
            if place in self._remarks:
                notes, samples, reason = self._remarks[place]
                cells[NOTES:] = map(render, ([*map(str, notes)], [*samples], reason))
            yield cells

    @property
    def is_timed(self) -> bool:
        """False for a training that ran beside others, which gives accuracies alone."""
        return "shared_training_s" not in self._heads.places

    def artifact(self, role: str) -> Artifact:
        """The artifact of that role; KeyError where there is none."""
        return Record.artifact(cast("Record", self), role)

    def add_notes(self, notes: dict[str, Note]) -> None:
        """Add a note to the first figure of each name."""
        self._remarks = dict(self._remarks)
        for name, note in notes.items():
            place = self._heads.places[name][0]
            own, samples, reason = self._remarks.get(place, NO_REMARKS)
            self._remarks[place] = (*own, note), samples, reason


def add_notes(record: Record, notes: dict[str, Note]) -> Record:
    """Return a record with a note on the first figure of each name."""
    if isinstance(record, CompactRecord):
        record.add_notes(notes)
        return record
    marked = {id(record.figure(name)): note for name, note in notes.items()}
    figures = (
        f.model_copy(update={"notes": (*f.notes, marked[id(f)])}) if id(f) in marked else f for f in record.figures
    )
    return record.model_copy(update={"figures": tuple(figures)})


def find_value(record: Record, name: str) -> float | None:
    """Find the value of the first figure of that name; None where there is none, or it is not available."""
    return next(iter(_list_values(record, name)), None)


def list_values(record: Record, name: str) -> list[float]:
    """List the values of all figures of that name that are available."""
    return [value for value in _list_values(record, name) if value is not None]


def _list_values(record: Record, name: str) -> list[float | None]:
    if isinstance(record, CompactRecord):
        return record.list_values(name)
    return [figure.value for figure in record.figures if figure.name == name]


def list_noted(records: Iterable[Record], name: str) -> Iterator[Figure]:
    """List the first figure of that name of each record, of those that have notes."""
    for record in records:
        figure = record.find_noted(name) if isinstance(record, CompactRecord) else record.figure(name)
        if figure and figure.notes:
            yield figure


def list_names(record: Record) -> Iterable[str]:
    """List the names of the figures of a record, each once."""
    return record.places if isinstance(record, CompactRecord) else dict.fromkeys(f.name for f in record.figures)


def list_conditions(record: Record) -> Iterator[dict[str, Any]]:
    """List the conditions of each figure of a record."""
    if isinstance(record, CompactRecord):
        yield from record.list_conditions()
    else:
        yield from (figure.conditions for figure in record.figures)


def find_detail(record: Record, name: str) -> Any:
    """Find one of the details of a record; None where there is none."""
    return record.find_detail(name) if isinstance(record, CompactRecord) else record.details.get(name)


def count_figures(record: Record) -> int:
    return record.n_figures if isinstance(record, CompactRecord) else len(record.figures)


def list_fields(record: Record) -> Iterator[dict[str, Any]]:
    """List the figures of a record as JSON has them, keys in the order of `Figure`."""
    if isinstance(record, CompactRecord):
        yield from record.list_fields()
    else:
        yield from (figure.model_dump(mode="json") for figure in record.figures)


def list_cells(record: Record, render: Callable[[Any], T]) -> Iterator[list[T]]:
    """List the figures of a record as JSON has them, each field made a cell by `render`."""
    if isinstance(record, CompactRecord):
        yield from record.list_cells(render)
    else:
        yield from ([*map(render, fields.values())] for fields in list_fields(record))


def _from_number(value: float) -> float | None:
    return None if value != value else value


@dataclass
class Pool:
    """What the compact records of a store share; needed while they are made."""

    _values: dict[Hashable, Any] = field(default_factory=dict)
    _last: tuple[bytes, dict[str, JsonValue]] = (b"", {})

    def compact(self, record: Record) -> Record:
        """Make a record compact where its kind may be numerous and its figures are what an array can hold."""
        is_simple = type(record.cell) is Cell and all(figure.n < MAX_COUNT for figure in record.figures)
        return cast("Record", CompactRecord(record, self)) if record.cell.kind in COMPACT and is_simple else record

    def share(self, value: T, key: Hashable = None) -> T:
        """Return an equal value that was shared before, if there is one."""
        return cast("T", self._values.setdefault(value if key is None else key, value))

    def share_provenance(self, provenance: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Share each part of a provenance; all of it with the record before, where they are equal."""
        if (text := to_json(provenance)) != self._last[0]:
            shared = {
                self.share(name): self.share(part, (dict, to_json(part))) if isinstance(part, dict | list) else part
                for name, part in provenance.items()
            }
            self._last = text, shared
        return self._last[1]

    def share_figures(self, figures: tuple[Figure, ...]) -> tuple[Heads, dict[int, Remarks]]:
        heads = tuple(map(self._share_head, figures))
        key = tuple(map(id, heads))
        found: Heads | None = self._values.get(key)
        if found is None:
            found = self._values[key] = Heads(heads)
        remarks = {
            place: self.share((f.notes, f.samples, f.reason), (Note, f.notes, f.samples, f.reason))
            for place, f in enumerate(figures)
            if f.notes or f.samples or f.reason
        }
        return found, self.share(remarks, (Heads, *((place, id(said)) for place, said in remarks.items())))

    def _share_head(self, figure: Figure) -> dict[str, Any]:
        key = (figure.name, figure.kind, figure.source, figure.method, figure.interval, repr(figure.conditions))
        found: dict[str, Any] | None = self._values.get(key)
        if found is None:
            fields = {name: getattr(figure, name) for name in Figure.model_fields}
            found = self._values[key] = fields | {"value": None, "n": 0, "lo": None, "hi": None}
            found |= {"notes": (), "samples": (), "reason": ""}
        return found
