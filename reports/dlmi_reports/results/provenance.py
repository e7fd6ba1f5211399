"""Provenance of a record, as reports read it."""

from pydantic import BaseModel, JsonValue, ValidationError

from dlmi_bench.errors import StoreError
from dlmi_bench.records import Record


class Kept(BaseModel, frozen=True):
    """Fields that reports and the gate read; other fields are ignored."""


class Data(Kept):
    """Data that a model was trained and tested on; `sha256` by part."""

    name: str = ""
    source: str = ""
    note: str = ""
    is_synthetic: bool = False
    sha256: dict[str, str] = {}


class Target(Kept):
    """Validation accuracy to reach, and the published test accuracy with its source."""

    validation_accuracy: float | None = None
    test_accuracy_published: float | None = None
    source: str = ""


class Provenance(Kept):
    """Machine, versions, code and data of a record; `splits` counts examples."""

    data: Data = Data()
    splits: dict[str, int] = {}
    target: Target = Target()
    machine: dict[str, JsonValue] = {}
    machine_id: str | None = None
    settings: dict[str, JsonValue] = {}
    versions: dict[str, str] = {}
    commit: str | None = None
    date: str = ""
    suite: dict[str, JsonValue] = {}
    recipe: dict[str, JsonValue] = {}
    start: dict[str, JsonValue] = {}


def read_provenance(record: Record) -> Provenance:
    """Read the provenance of a record.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return Provenance.model_validate(record.provenance)
    except ValidationError as error:
        raise StoreError(f"{record.cell.key}: provenance: {error}", "run again with --fresh") from None
