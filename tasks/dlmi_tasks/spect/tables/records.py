"""Records that the tables give: images, stages, reads, and an account of each file."""

import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

TRACER = re.compile(r"(?:radiopharmaceutical|tracer)=([^;]*)", re.IGNORECASE)

Visit = tuple[str, str]  # subject and event, or subject and month (YYYY-MM) where the table names no event
Ratios = dict[Visit, tuple[float, ...]]  # by anatomy.REGIONS


@dataclass(frozen=True)
class Problem:
    """Something that was left out or passed over: where, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class ImageRow:
    """Entry of the image archive for one image. `image_id` has no leading I; group and visit are as written."""

    image_id: str
    subject: str
    group: str
    visit: str
    day: date | None
    sex: str = ""
    age: float | None = None
    description: str = ""
    protocol: str = ""

    @property
    def tracer(self) -> str:
        """Tracer that the imaging protocol names; empty where it names none."""
        found = TRACER.search(self.protocol)
        return found[1].strip() if found else ""


@dataclass(frozen=True)
class ListedImage:
    """Entry of a user's listing for one image; fields are as written, and empty where it says nothing."""

    subject: str
    label: str = ""
    site: str = ""
    session: str = ""
    group: str = ""
    sex: str = ""
    age: float | None = None


@dataclass(frozen=True)
class StageRow:
    """One motor examination with its Hoehn & Yahr stage.

    Attributes:
        rank: 0 off or without medication, 1 on.
        rule: Fields that decided the rank.
    """

    subject: str
    event: str
    day: date | None
    stage: float
    rank: int
    rule: str = ""


@dataclass(frozen=True)
class ReadRow:
    """One visual read of a scan. Its table names no visit, so it joins by subject and month."""

    subject: str
    day: date | None
    is_positive: bool


@dataclass(frozen=True)
class TableFile:
    """Account of one file. `why` says what it serves as, or why it is not used."""

    path: Path
    role: str
    n_rows: int
    is_used: bool
    why: str


@dataclass(frozen=True)
class Tables:
    """All that the tables say, and what was passed over in them.

    Attributes:
        groups: Normalised group of each subject.
        group_sources: File that each subject's group is from.
        ratios: Published binding ratios by lab. Labs are never mixed.
        tracers: Tracer by visit; a blank in the table is ioflupane.
        nsd: Biological stage by visit, such as 2B.
        n_missing_stages: Rows whose stage is blank, 101 or UR.
        listed: Images by path, as the user lists them.
        sides: Side of the body, L or R, that the first symptoms were on.
    """

    images: dict[str, ImageRow] = field(default_factory=dict)
    stages: list[StageRow] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    group_sources: dict[str, Path] = field(default_factory=dict)
    ratios: dict[str, Ratios] = field(default_factory=dict)
    reads: list[ReadRow] = field(default_factory=list)
    acceptable: dict[Visit, bool] = field(default_factory=dict)
    tracers: dict[Visit, str] = field(default_factory=dict)
    nsd: dict[Visit, str] = field(default_factory=dict)
    sites: dict[str, str] = field(default_factory=dict)
    sexes: dict[str, str] = field(default_factory=dict)
    ages: dict[Visit, float] = field(default_factory=dict)
    files: list[TableFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    n_missing_stages: int = 0
    listed: dict[Path, ListedImage] = field(default_factory=dict)
    sides: dict[str, str] = field(default_factory=dict)
