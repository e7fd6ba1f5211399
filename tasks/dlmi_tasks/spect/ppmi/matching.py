"""Matching of stages to images: by visit, else by the nearest date, else not at all.

Nothing is guessed: an image without a stage within reach is listed with the reason.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dlmi_tasks.spect.ppmi.files import ImageFile
from dlmi_tasks.spect.ppmi.layout import ALSO_AT, EVENTS, Problem
from dlmi_tasks.spect.ppmi.tables import ImageRow, StageRow, Tables

MAX_DAYS = 180
GROUPS_LEFT_OUT = ("control", "healthy control", "hc", "swedd")

# Name of a grouping -> its classes in order, each with its Hoehn & Yahr stages.
GROUPINGS: dict[str, dict[str, tuple[float, ...]]] = {
    "stage": {"1": (1,), "2": (2,), "3+": (3, 4, 5)},
    "phase": {"early": (1, 1.5), "middle": (2, 2.5), "late": (3, 4, 5)},
}


@dataclass(frozen=True)
class Match:
    """An image with its stage, and how the two were joined. `event` is empty where no table names the image's visit."""

    image: ImageFile
    event: str
    stage: float
    label: int
    method: Literal["visit", "baseline for screening", "nearest date"]
    days_apart: int | None


@dataclass(frozen=True)
class Matching:
    """The outcome of the join."""

    matches: list[Match]
    unmatched: list[Problem]
    notes: list[Problem]

    def describe(self) -> dict[str, object]:
        return {
            "n_matched": len(self.matches),
            "n_by_method": dict(sorted(Counter(m.method for m in self.matches).items())),
            "unmatched": [{"where": p.where, "reason": p.reason} for p in self.unmatched],
            "notes": [{"where": p.where, "reason": p.reason} for p in self.notes],
        }


Found = tuple[StageRow, Literal["visit", "baseline for screening", "nearest date"], int | None]


def match_images(images: list[ImageFile], tables: Tables, grouping: str = "stage") -> Matching:
    """Give each image its stage and class, or a reason why it has none."""
    by_subject = defaultdict(list)
    for row in tables.stages:
        by_subject[row.subject].append(row)
    matches: list[Match] = []
    unmatched = []
    for image in images:
        found = _match(image, tables.images.get(image.image_id), by_subject.get(image.subject, []), grouping)
        if isinstance(found, Match):
            matches.append(found)
        else:
            unmatched.append(Problem(str(image.path), found))
    used = {match.image.subject for match in matches}
    notes = [note for subject in sorted(used) for note in _find_conflicts(by_subject[subject])]
    return Matching(matches, unmatched, notes + _find_changes(matches))


def _match(image: ImageFile, row: ImageRow | None, stages: list[StageRow], grouping: str) -> Match | str:
    if row and row.subject != image.subject:
        return f"field Subject is {row.subject} in the image table, {image.subject} in the path"
    if row and row.group.lower() in GROUPS_LEFT_OUT:
        return f"field Group is {row.group}: not a patient with a stage"
    if not stages:
        return f"no row with a stage (field NHY) for subject {image.subject}"
    found = _find_by_visit(row, stages) or _find_by_date(image, row, stages)
    if isinstance(found, str):
        return found
    stage = found[0].stage
    label = find_label(stage, grouping)
    if label is None:
        return f"stage (field NHY) {stage:g} is in no class of the grouping {grouping!r}"
    return Match(image, find_event(row) if row else "", stage, label, found[1], found[2])


def find_event(row: ImageRow) -> str:
    return EVENTS.get(row.visit, row.visit)


def find_label(stage: float, grouping: str) -> int | None:
    return next((i for i, stages in enumerate(GROUPINGS[grouping].values()) if stage in stages), None)


def _find_by_visit(row: ImageRow | None, stages: list[StageRow]) -> Found | None:
    if row is None:
        return None
    event = find_event(row)
    if same := [s for s in stages if s.event == event]:
        return choose_row(same), "visit", None
    for other in ALSO_AT.get(event, ()):
        if near := [s for s in stages if s.event == other]:
            return choose_row(near), "baseline for screening", None
    return None


def _find_by_date(image: ImageFile, row: ImageRow | None, stages: list[StageRow]) -> Found | str:
    day = (row.day if row else None) or image.day
    distances = [(abs((s.day - day).days), s) for s in stages if s.day]
    if not distances:
        return f"subject {image.subject} has no stage at this visit and none with a date (field INFODT)"
    nearest = min(distance for distance, _ in distances)
    if nearest > MAX_DAYS:
        return f"the nearest stage (field NHY) of subject {image.subject} is {nearest} days away, limit {MAX_DAYS}"
    return choose_row([s for distance, s in distances if distance == nearest]), "nearest date", nearest


def choose_row(rows: Iterable[StageRow]) -> StageRow:
    """Choose a row: off or untreated before on; of several, the one with the highest stage."""
    return min(rows, key=lambda row: (row.rank, -row.stage))


def _find_conflicts(rows: list[StageRow]) -> list[Problem]:
    """Visits where rows of equal standing disagree: the highest is taken, and said to be."""
    by_visit = defaultdict(set)
    best = {event: min(r.rank for r in rows if r.event == event) for event in {r.event for r in rows}}
    for row in rows:
        if row.rank == best[row.event]:
            by_visit[row.subject, row.event].add(row.stage)
    return [
        Problem(
            f"PATNO {subject}, EVENT_ID {event}",
            f"field NHY is {' and '.join(f'{s:g}' for s in sorted(stages))} in equal rows; the highest counts",
        )
        for (subject, event), stages in sorted(by_visit.items())
        if len(stages) > 1
    ]


def _find_changes(matches: list[Match]) -> list[Problem]:
    """Patients whose scans have different stages: people progress; all their scans stay in one split."""
    stages = defaultdict(set)
    for match in matches:
        stages[match.image.subject].add(match.stage)
    return [
        Problem(
            f"PATNO {subject}",
            f"scans at stages {' and '.join(f'{s:g}' for s in sorted(found))}; all in one split, by the highest",
        )
        for subject, found in sorted(stages.items())
        if len(found) > 1
    ]
