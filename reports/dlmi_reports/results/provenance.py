"""Provenance of a record, as reports read it."""

from pydantic import BaseModel, JsonValue, ValidationError

from dlmi_bench.errors import StoreError
from dlmi_bench.records import Record
from dlmi_bench.stats.tuning import Tuning


class Kept(BaseModel, frozen=True):
    """Fields that reports and the gate read; other fields are ignored."""


class LeftOut(Kept):
    """Scans that are out for one reason."""

    n: int = 0
    reason: str = ""


class Scans(Kept):
    """Who is in a folder of scans, and who is out and why; nothing in it names a person."""

    n_scans: int = 0
    n_subjects: int = 0
    subjects_by_class: dict[str, int] = {}
    by_group: dict[str, int] = {}
    stages_joined: dict[str, int] = {}
    out: tuple[LeftOut, ...] = ()


class Data(Kept):
    """Data that a model was trained and tested on; `sha256` by part.

    `question` is what is asked of them, where it is not what the task asks by itself; `scans` says who is in and out.
    """

    name: str = ""
    source: str = ""
    note: str = ""
    is_synthetic: bool = False
    sha256: dict[str, str] = {}
    question: str = ""
    scans: Scans = Scans()


class Target(Kept):
    """Validation accuracy to reach, and the published test accuracy with its source."""

    validation_accuracy: float | None = None
    test_accuracy_published: float | None = None
    source: str = ""


class Folds(Kept):
    """Place of a training in a cross-validation, both counted from 0; groups of `by` are never split."""

    n_folds: int
    fold: int
    repeat: int
    by: str = ""
    is_held_out_site: bool = False


class Overlap(Kept):
    """Groups and images that two splits share; None if they were not looked for."""

    n_groups_shared: int | None = None
    n_exact: int = 0
    n_near: int | None = None
    closest_correlation: float | None = None


class Audit(Kept):
    """Leakage audit of the splits; `reason` says why near duplicates were not looked for."""

    pairs: dict[str, Overlap] = {}
    near_correlation: float = 0.999
    is_clean: bool = True
    reason: str = ""


class Clusters(Kept):
    """Groups of the test split, and the images in them.

    `n_effective` is the number of independent images that say as much, where intervals have a group as their unit.
    """

    n_groups: int
    n_examples: int


class Plugin(Kept):
    """Code of the user's that was loaded; `files` holds the sha256 of each file."""

    name: str
    files: dict[str, str] = {}


class Provenance(Kept):
    """Machine, versions, code and data of a record; `splits` counts examples, `notes` say what was assumed."""

    data: Data = Data()
    splits: dict[str, int] = {}
    target: Target | None = None
    folds: Folds | None = None
    audit: Audit | None = None
    clusters: Clusters | None = None
    loading: str = ""
    notes: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()
    machine: dict[str, JsonValue] = {}
    machine_id: str | None = None
    settings: dict[str, JsonValue] = {}
    versions: dict[str, str] = {}
    commit: str | None = None
    date: str = ""
    suite: dict[str, JsonValue] = {}
    recipe: dict[str, JsonValue] = {}
    start: dict[str, JsonValue] = {}
    tuning: Tuning | None = None

    @property
    def goal(self) -> float | None:
        """Validation accuracy to reach; None if the task states no target."""
        return self.target.validation_accuracy if self.target else None


def read_provenance(record: Record) -> Provenance:
    """Read the provenance of a record.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return Provenance.model_validate(record.provenance)
    except ValidationError as error:
        raise StoreError(f"{record.cell.key}: provenance: {error}", "run again with --fresh") from None
