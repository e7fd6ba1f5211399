"""Parts of a report: sections, tables and plots."""

from dataclasses import dataclass, field

from dlmi_bench.records import Record


@dataclass
class Table:
    """A table of text, with a caption that explains it and notes under it."""

    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


@dataclass
class Plot:
    """One picture: `name` is that of its file, `alt` describes it in words, `svg` has no prologue."""

    name: str
    title: str
    alt: str
    svg: str


@dataclass
class Section:
    """One task, or another part of the report; `details` are sentences that a reader can unfold."""

    name: str
    title: str
    lead: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)


@dataclass
class Page:
    """The whole report."""

    title: str
    lead: list[str]
    sections: list[Section]


@dataclass(frozen=True)
class Document:
    """The page for people, and the records for machines."""

    page: Page
    records: list[Record]
