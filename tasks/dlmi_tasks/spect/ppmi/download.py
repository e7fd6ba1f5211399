"""What a folder of scans holds: found, in, and out with the reason, before any voxel is read."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dlmi_tasks.spect.ppmi.gather import Gathered, gather
from dlmi_tasks.spect.ppmi.grouping import COURSE, GROUPINGS, LABELS, Grouping, load_grouping, name_labels
from dlmi_tasks.spect.ppmi.joining import Joined, Scan, join
from dlmi_tasks.spect.ppmi.options import Options
from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.tables.records import Problem, Tables
from dlmi_tasks.spect.walk import Walked, walk

ZIPPED = "unpack it here, with its folders"


@dataclass(frozen=True)
class Download:
    """A folder of scans, inspected.

    Attributes:
        grouping: What is asked of the scans.
        unreadable: Scans whose voxels could not be read or trusted; empty before they are.
    """

    folder: Path
    options: Options
    grouping: Grouping
    walked: Walked
    tables: Tables
    gathered: Gathered
    joined: Joined
    unreadable: tuple[Problem, ...] = ()

    @property
    def left_out(self) -> list[Problem]:
        """Everything that is not used, with the reason."""
        out = [Problem(str(scan.image.path), scan.reason) for scan in self.joined.scans if scan.label is None]
        zipped = [Problem(str(path), f"an archive: {ZIPPED}") for path in self.walked.archives]
        return [*zipped, *self.walked.problems, *self.gathered.problems, *out, *self.unreadable]

    @property
    def used(self) -> list[Scan]:
        bad = {problem.where for problem in self.unreadable}
        return [scan for scan in self.joined.used if str(scan.image.path) not in bad]

    def count_subjects(self) -> dict[str, dict[str, int]]:
        """Count subjects by class, each by the highest, as each grouping would have them."""
        counts = {}
        for name, grouping in (GROUPINGS | {self.grouping.name: self.grouping}).items():
            highest: dict[str, int] = {}
            for scan in self.joined.scans:
                label = grouping.find_label(scan.case)
                if isinstance(label, int) and not scan.is_faulty:
                    highest[scan.image.subject] = max(label, highest.get(scan.image.subject, 0))
            found = Counter(highest.values())
            counts[name] = {label: found[i] for i, label in enumerate(grouping.classes)}
        return counts

    def list_groupings(self, n_least: int) -> list[str]:
        """List the groupings of whose classes each has so many subjects."""
        return [name for name, found in self.count_subjects().items() if min(found.values()) >= n_least]

    def describe(self) -> dict[str, object]:
        """Describe it as plain data; `left_out` names every file, `out` counts them by reason."""
        elsewhere = {f"images of modality {name}": n for name, n in sorted(self.gathered.elsewhere.items())}
        scans = {"scans": len(self.gathered.images), "copies of scans": self.gathered.n_copies}
        return {
            "folder": str(self.folder),
            "grouping": self.grouping.name,
            "found": self.walked.describe() | elsewhere | scans,
            "tables": {
                self._shorten(str(file.path)): f"{file.role}, {file.n_rows} rows: {file.why}"
                for file in self.tables.files
            },
            "in": self._describe_used(),
            "out": count_reasons(self.left_out, self.folder),
            "groupings": self.count_subjects(),
            "notes": count_reasons([*self.joined.notes, *self.tables.problems], self.folder),
            "left_out": [{"where": p.where, "reason": p.reason} for p in self.left_out],
        }

    def summarise(self) -> dict[str, object]:
        """Summarise it for records and reports, which others see: without numbers of subjects, names and paths."""
        used, left_out = self._describe_used(), count_reasons(self.left_out, self.folder)
        return {
            "n_scans": used["scans"],
            "n_subjects": used["subjects"],
            "subjects_by_class": used["subjects_by_class"],
            "by_group": used["by_group"],
            "stages_joined": used["stages_joined"],
            "out": [{"n": out["n"], "reason": re.sub(r"\d{3,}", "#", str(out["reason"]))} for out in left_out],
        }

    def _shorten(self, where: str) -> str:
        return where.removeprefix(f"{self.folder}/")

    def _describe_used(self) -> dict[str, object]:
        used, classes = self.used, self.grouping.classes
        return {
            "scans": len(used),
            "subjects": len({scan.image.subject for scan in used}),
            "by_group": _count(scan.case.group or "not asked" for scan in used),
            "by_class": {name: sum(scan.label == i for scan in used) for i, name in enumerate(classes)},
            "subjects_by_class": {
                name: len({scan.image.subject for scan in used if scan.label == i}) for i, name in enumerate(classes)
            },
            "by_site": _count(scan.site for scan in used if scan.site),
            "by_visit": _count(scan.event or "unknown" for scan in used),
            "stages_joined": _count(scan.method for scan in used if scan.method),
        }


def inspect_download(folder: Path, options: Options) -> Download:
    """Inspect a folder of scans and tables.

    Raises:
        DataError: not a folder.
    """
    walked = walk(folder)
    tables = load_tables(walked.tables, root=folder)
    grouping = choose_grouping(options, tables)
    gathered = gather(walked.images, tables)
    joined = join(gathered.images, tables, grouping, assumes_pd=options.assumes_pd)
    return Download(folder, options, grouping, walked, tables, gathered, joined)


def choose_grouping(options: Options, tables: Tables) -> Grouping:
    """Choose what is asked: the named grouping, else the labels that the user lists, else the course's stages."""
    labels = [image.label for image in tables.listed.values()]
    if options.grouping == LABELS or (not options.grouping and any(labels)):
        return name_labels(labels)
    return load_grouping(options.grouping) if options.grouping else COURSE


def count_reasons(problems: Iterable[Problem], folder: Path) -> list[dict[str, object]]:
    """Count problems whose reasons differ in numbers only, most frequent first, with one example each."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(re.sub(r"\d+", "#", problem.reason), []).append(problem)
    return [
        {"n": len(found), "reason": found[0].reason, "example": found[0].where.removeprefix(f"{folder}/")}
        for found in sorted(kinds.values(), key=len, reverse=True)
    ]


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
