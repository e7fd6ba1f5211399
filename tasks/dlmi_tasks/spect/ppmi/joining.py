"""Join images with what tables say: by visit, else by the nearest date, else not at all.

Nothing is guessed: a scan without an answer is listed with the reason.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

from dlmi_tasks.spect.ppmi.grouping import Case, Grouping
from dlmi_tasks.spect.ppmi.identity import ImageFile
from dlmi_tasks.spect.tables.records import ImageRow, ListedImage, Problem, StageRow, Tables, Visit
from dlmi_tasks.spect.tables.values import IOFLUPANE, parse_group, parse_tracer
from dlmi_tasks.spect.tables.visits import ALSO_AT, find_event

T = TypeVar("T")
MAX_DAYS = 180
ASSUMED = "PD"
UNKNOWN_GROUP = (
    "no table says whether subject {} is a patient: add Participant_Status or the table of the collection, or say "
    "--assume-pd"
)


@dataclass(frozen=True)
class Scan:
    """An image with what is known of it.

    Attributes:
        event: Code of the visit; empty where neither table nor path names it.
        site: Where it was taken; empty where no table tells.
        method: How the stage was found; empty where there is none.
        days_apart: Days between scan and examination, where joined by date.
        label: Index of its class; None where `reason` says why it has none.
        is_faulty: Whether it is out whatever is asked.
        sex: F, M, or empty where no table tells.
        age: At the scan [years].
    """

    image: ImageFile
    event: str
    case: Case
    site: str = ""
    method: str = ""
    days_apart: int | None = None
    label: int | None = None
    reason: str = ""
    is_faulty: bool = False
    sex: str = ""
    age: float | None = None


@dataclass(frozen=True)
class Joined:
    """All scans, and what else there is to say of them."""

    scans: list[Scan]
    notes: list[Problem]

    @property
    def used(self) -> list[Scan]:
        return [scan for scan in self.scans if scan.label is not None]


def join(images: list[ImageFile], tables: Tables, grouping: Grouping, *, assumes_pd: bool = False) -> Joined:
    """Give each image its case and class, or a reason why it has none."""
    by_subject = defaultdict(list)
    for row in tables.stages:
        by_subject[row.subject].append(row)
    scans = [_join(image, tables, by_subject[image.subject], grouping, assumes_pd) for image in images]
    used = {scan.image.subject for scan in scans if scan.label is not None}
    conflicts = [note for subject in sorted(used) for note in _find_conflicts(by_subject[subject])]
    return Joined(scans, conflicts + _find_changes(scans))


def _join(image: ImageFile, tables: Tables, stages: list[StageRow], grouping: Grouping, assumes_pd: bool) -> Scan:
    row = tables.images.get(image.image_id)
    event = (find_event(row.visit) if row else None) or image.session
    day = (row.day if row else None) or image.day
    listed = image.listed or ListedImage(image.subject)
    group = listed.group or tables.groups.get(image.subject) or (parse_group(row.group) if row else "")
    group = group or (ASSUMED if assumes_pd else "")
    found = _find_by_visit(event, stages) or _find_by_date(image.subject, day, stages)
    stage = None if isinstance(found, str) else found.row.stage
    reading, nsd = _find_reading(tables, image.subject, day), _find(tables.nsd, image.subject, event, day) or ""
    case = Case(group, stage, reading, nsd, listed.label)
    site = listed.site or tables.sites.get(image.subject, "")
    sex = listed.sex or tables.sexes.get(image.subject, "")
    age = listed.age or tables.ages.get((image.subject, event)) or (row.age if row else None)
    scan = Scan(image, event, case, site, sex=sex, age=age)
    if fault := _find_fault(image, row, event, day, tables):
        return replace(scan, reason=fault, is_faulty=True)
    needs_group = bool(grouping.groups) and not group
    answer = UNKNOWN_GROUP.format(image.subject) if needs_group else grouping.find_label(case)
    if isinstance(answer, str):
        is_unjoined = answer == grouping.lack and grouping.field == "stage" and isinstance(found, str)
        return replace(scan, reason=str(found) if is_unjoined else answer)
    if isinstance(found, str):
        return replace(scan, label=answer)
    return replace(scan, method=found.method, days_apart=found.days_apart, label=answer)


def _find_fault(image: ImageFile, row: ImageRow | None, event: str, day: date | None, tables: Tables) -> str:
    """Say why a scan is nobody's or not usable; empty where it is."""
    if row and row.subject != image.subject:
        return f"field Subject is {row.subject} in the table of images, {image.subject} in the path"
    if row and row.visit and find_event(row.visit) is None:
        return f"field Visit is {row.visit!r}, which is no visit of the study"
    if _find(tables.acceptable, image.subject, event, day) is False:
        return "field DATSCAN_IMAGE_ACCEPTABLE says that it is not"
    tracer = (row.tracer if row else "") or _find(tables.tracers, image.subject, event, day) or ""
    return "" if parse_tracer(tracer) == IOFLUPANE else f"another tracer, {tracer}: not DaTSCAN"


def _find(said: Mapping[Visit, T], subject: str, event: str, day: date | None) -> T | None:
    """Find what a table says of a scan: by its visit, else by its month, where the table names no visit."""
    month = f"{day:%Y-%m}" if day else ""
    return said.get((subject, event), said.get((subject, month)))


@dataclass(frozen=True)
class Found:
    """An examination, and how it was found."""

    row: StageRow
    method: str
    days_apart: int | None = None


def _find_by_visit(event: str, stages: list[StageRow]) -> Found | None:
    if same := [s for s in stages if event and s.event == event]:
        return Found(choose_row(same), "visit")
    for other in ALSO_AT.get(event, ()):
        if near := [s for s in stages if s.event == other]:
            return Found(choose_row(near), "baseline for screening")
    return None


def _find_by_date(subject: str, day: date | None, stages: list[StageRow]) -> Found | str:
    if not stages:
        return f"no row with a stage (field NHY) for subject {subject}"
    distances = [(abs((s.day - day).days), s) for s in stages if s.day and day]
    if not distances:
        return f"subject {subject} has no stage at this visit and none with a date (field INFODT)"
    nearest = min(distance for distance, _ in distances)
    if nearest > MAX_DAYS:
        return f"the nearest stage (field NHY) of subject {subject} is {nearest} days away, limit {MAX_DAYS}"
    return Found(choose_row(s for distance, s in distances if distance == nearest), "nearest date", nearest)


def choose_row(rows: Iterable[StageRow]) -> StageRow:
    """Choose a row: off or untreated before on; of several, the one with the highest stage."""
    return min(rows, key=lambda row: (row.rank, -row.stage))


def _find_reading(tables: Tables, subject: str, day: date | None) -> bool | None:
    """Find the visual reading of the month of a scan."""
    months = {
        (row.day.year, row.day.month): row.is_positive for row in tables.reads if row.subject == subject and row.day
    }
    return months.get((day.year, day.month)) if day else None


def _find_conflicts(rows: list[StageRow]) -> Iterator[Problem]:
    """Visits where rows of equal standing disagree: the highest is taken, and said to be."""
    best = {row.event: min(r.rank for r in rows if r.event == row.event) for row in rows}
    by_visit = defaultdict(set)
    for row in rows:
        if row.rank == best[row.event]:
            by_visit[row.subject, row.event].add(row.stage)
    for (subject, event), stages in sorted(by_visit.items()):
        if len(stages) > 1:
            said = " and ".join(f"{stage:g}" for stage in sorted(stages))
            yield Problem(
                f"PATNO {subject}, EVENT_ID {event}", f"field NHY is {said} in equal rows; the highest counts"
            )


def _find_changes(scans: list[Scan]) -> list[Problem]:
    """Patients whose scans have different stages: people progress; all their scans stay in one split."""
    stages = defaultdict(set)
    for scan in scans:
        if scan.label is not None and scan.case.stage is not None:
            stages[scan.image.subject].add(scan.case.stage)
    return [
        Problem(
            f"PATNO {subject}",
            f"scans at stages {' and '.join(f'{s:g}' for s in sorted(found))}; all in one split, by the highest",
        )
        for subject, found in sorted(stages.items())
        if len(found) > 1
    ]
