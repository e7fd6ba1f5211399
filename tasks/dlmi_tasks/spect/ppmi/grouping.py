"""What is asked of a scan: classes by stage, group, visual reading or biological stage, or the user's own."""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.files import parsing, read_bytes

MAX_FILE_BYTES = 1 << 20
PATIENTS = ("PD", "GenCohort PD", "GenReg PD")
HEALTHY = ("HC",)


@dataclass(frozen=True)
class Case:
    """What is known of a scan beside its image; None or empty where no table says."""

    group: str = ""
    stage: float | None = None
    is_positive: bool | None = None
    nsd: str = ""
    label: str = ""


@dataclass(frozen=True)
class Grouping:
    """Classes in order, and the question that finds a scan's.

    Attributes:
        answer: Returns the class of a case, or why it has none.
        field: What of a case decides.
        needs: The same in words.
        groups: Groups of subjects that are asked about; empty for all.
        is_ordinal: Whether the classes have an order.
    """

    name: str
    classes: tuple[str, ...]
    answer: Callable[[Case], str | None]
    field: str = "stage"
    needs: str = "stage (field NHY)"
    groups: tuple[str, ...] = PATIENTS
    is_ordinal: bool = True

    @property
    def lack(self) -> str:
        """Why a case has no class that is asked about and has not what decides."""
        return f"{self.needs} is missing"

    def find_label(self, case: Case) -> int | str:
        """Return the index of a case's class, or why it has none."""
        if self.groups and case.group not in self.groups:
            return f"group {case.group or 'unknown'}: not asked about by the grouping {self.name!r}"
        if getattr(case, self.field) in (None, ""):
            return self.lack
        found = self.answer(case)
        return (
            f"{self.needs} {getattr(case, self.field)} is in no class of the grouping {self.name!r}"
            if (found is None)
            else self.classes.index(found)
        )


def _by_stage(name: str, classes: dict[str, tuple[float, ...]]) -> Grouping:
    def answer(case: Case) -> str | None:
        return next((label for label, stages in classes.items() if case.stage in stages), None)

    return Grouping(name, tuple(classes), answer)


def _make_groupings() -> dict[str, Grouping]:
    stages: dict[str, dict[str, tuple[float, ...]]] = {
        "stage": {"1": (1,), "2": (2,), "3+": (3, 4, 5)},
        "phase": {"early": (1, 1.5), "middle": (2, 2.5), "late": (3, 4, 5)},
        "1-2+": {"1": (1, 1.5), "2+": (2, 2.5, 3, 4, 5)},
    }
    groupings = {name: _by_stage(name, classes) for name, classes in stages.items()}
    groupings["hc-pd"] = Grouping(
        "hc-pd",
        ("HC", "PD"),
        lambda case: "PD" if case.group in PATIENTS else "HC",
        field="group",
        needs="group",
        groups=(*PATIENTS, *HEALTHY),
    )
    readings = {True: "positive", False: "negative"}
    groupings["visual"] = Grouping(
        "visual",
        ("negative", "positive"),
        lambda case: None if case.is_positive is None else readings[case.is_positive],
        field="is_positive",
        needs="visual reading (DATSCAN_VISINTRP)",
        groups=(),
    )
    biological = ("2B", "3", "4", "5", "6")
    groupings["nsd-iss"] = Grouping(
        "nsd-iss",
        ("2B", "3", "4+"),
        lambda case: {"2B": "2B", "3": "3"}.get(case.nsd, "4+" if case.nsd in biological else None),
        field="nsd",
        needs="biological stage (NSD-ISS)",
        groups=(),
    )
    return groupings


GROUPINGS = _make_groupings()
COURSE = GROUPINGS["stage"]
LABELS = "labels"


def name_labels(labels: Iterable[str]) -> Grouping:
    """Make a grouping by the labels of a listing: numbers by their value, which are an order, or words."""
    found = set(labels) - {""}
    is_ordinal = all(label.isascii() and label.isdigit() for label in found)
    classes = sorted(found, key=lambda label: (int(label) if is_ordinal else 0, label))
    return Grouping(
        LABELS,
        tuple(classes),
        lambda case: case.label,
        field="label",
        needs="label of the listing",
        groups=(),
        is_ordinal=is_ordinal,
    )


def load_grouping(name: str) -> Grouping:
    """Load a grouping by its name, or from a TOML file with stages by class: `"1" = [1, 1.5]`.

    Raises:
        UsageError: there is no such grouping, or the file is wrong.
    """
    if name in GROUPINGS:
        return GROUPINGS[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise UsageError(f"grouping {name!r} does not exist", list_choices(name, GROUPINGS, ", or a TOML file"))
    remedy = 'write stages by class: "1" = [1, 1.5]'
    with parsing(f"{path}: cannot be read", remedy, UsageError):
        classes = tomllib.loads(read_bytes(path, MAX_FILE_BYTES).decode("utf-8"))
    is_right = len(classes) > 1 and all(
        isinstance(stages, list) and stages and all(type(s) in (int, float) for s in stages)
        for stages in classes.values()
    )
    taken = [stage for stages in classes.values() if isinstance(stages, list) for stage in stages]
    if not is_right or len(set(taken)) != len(taken):
        raise UsageError(f"{path}: not two classes or more with stages of their own", remedy)
    return _by_stage(path.stem, {label: tuple(map(float, stages)) for label, stages in classes.items()})
