"""What a report is made of: sections, tables and plots."""

from dataclasses import dataclass, field

from dlmi_bench.records import Record


@dataclass
class Table:
    """A caption that says how to read it, a header, rows of text, notes under it."""

    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


@dataclass
class Plot:
    """One picture: `name` for its file, `alt` for those who do not see it, `svg` without a prologue."""

    name: str
    title: str
    alt: str
    svg: str


@dataclass
class Section:
    """One task, or another part of the report; `details` are sentences for those who want to know more."""

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
    """The page as people read it and the records as machines do."""

    page: Page
    records: list[Record]
