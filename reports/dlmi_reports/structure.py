"""Parts of a report: sections, tables and plots."""

from dataclasses import dataclass, field

from dlmi_bench.records import Record


@dataclass
class Table:
    """A table of text, with a caption that explains it and notes under it.

    Attributes:
        methods: Names of the methods behind it.
        is_for_paper: Whether it is also written on its own, beside the joined table.
    """

    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    methods: tuple[str, ...] = ()
    is_for_paper: bool = False


@dataclass
class Plot:
    """One picture: `name` is that of its file, `alt` describes it in words, `svg` has no prologue, `label` is short."""

    name: str
    title: str
    alt: str
    svg: str
    label: str = ""


@dataclass
class Glance:
    """A task at a glance: accuracy against each cost, of which one plot shows at a time, and one joined table."""

    plots: list[Plot]
    table: Table


# Sign and word of each state of a claim, in the order in which they are shown; colour alone tells nothing.
STATES = {
    "supported": ("\N{CHECK MARK}", "supported"),
    "refuted": ("\N{MULTIPLICATION X}", "refuted"),
    "equivalent": ("\N{ALMOST EQUAL TO}", "shown equivalent"),
    "open": ("?", "open"),
    "unmeasured": ("\N{EN DASH}", "not measured"),
}


@dataclass
class Chip:
    """A number of claims in one state."""

    state: str
    n: int

    @property
    def sign(self) -> str:
        return STATES[self.state][0]

    @property
    def text(self) -> str:
        return f"{self.n} {STATES[self.state][1]}"


@dataclass
class ClaimLine:
    """A claim with its state, its verdict and what stands behind it."""

    name: str
    state: str
    verdict: str
    sentence: str
    evidence: list[str]
    holds: str
    source: str
    is_primary: bool
    is_synthetic: bool

    @property
    def sign(self) -> str:
        return STATES[self.state][0]


@dataclass
class ClaimGroup:
    """Claims of one family, counted; `guarantee` says how they were corrected."""

    title: str
    chips: list[Chip]
    claims: list[ClaimLine]
    is_synthetic: bool = False
    guarantee: str = ""


@dataclass
class Section:
    """One task, or another part of the report.

    Attributes:
        is_synthetic: Whether its figures are of synthetic data.
        glance: What stands first; None where there is nothing to compare.
        folded: Tables that a reader can unfold.
        parts: Sections within this one, such as the arms of a task, that a reader can unfold.
        details: Sentences that a reader can unfold.
        groups: Claims by family, which its tables show too.
    """

    name: str
    title: str
    lead: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    is_synthetic: bool = False
    glance: Glance | None = None
    folded: list[Table] = field(default_factory=list)
    parts: list["Section"] = field(default_factory=list)
    groups: list[ClaimGroup] = field(default_factory=list)

    @property
    def all_tables(self) -> list[Table]:
        """All tables of its own, the joined one first."""
        return [*([self.glance.table] if self.glance else []), *self.tables, *self.folded]


@dataclass
class Answer:
    """What was found: sentences, all verdicts counted, and the claims of each family."""

    sentences: list[str] = field(default_factory=list)
    chips: list[Chip] = field(default_factory=list)
    groups: list[ClaimGroup] = field(default_factory=list)


@dataclass
class Page:
    """The whole report."""

    title: str
    lead: list[str]
    sections: list[Section]
    answer: Answer = field(default_factory=Answer)


@dataclass(frozen=True)
class Document:
    """The page for people, and for machines the records and the joined rows of accuracy and cost in SI units.

    Attributes:
        whole: Complete tables of those that the page folds, by the name of the file that it says.
    """

    page: Page
    records: list[Record]
    joined: list[dict[str, object]] = field(default_factory=list)
    whole: dict[str, Table] = field(default_factory=dict)
