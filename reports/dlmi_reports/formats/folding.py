"""Long tables and large pages, folded: what a page does not show lies whole in a file beside it, which it names."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dlmi_bench.files import atomic_text
from dlmi_bench.units import format_count
from dlmi_reports.formats.longform import to_cell
from dlmi_reports.results.load import make_slug
from dlmi_reports.structure import ClaimGroup, Page, Plot, Section, Table

# Longer tables are unreadable, and too large for a browser or a pull request.
MAX_ROWS = 500
MAX_NAMED = 12  # files that a sentence names


@dataclass
class Fold:
    """Folds the tables and plots of a page; one with more than `n_rows` rows shows its first ones.

    Attributes:
        n_plots: Plots that a task shows; all of them for None.
        whole: Complete tables of those that were folded, by the name of their file.
        plots: Plots that are left out.
    """

    n_rows: int = MAX_ROWS
    n_plots: int | None = None
    whole: dict[str, Table] = field(default_factory=dict)
    plots: list[Plot] = field(default_factory=list)

    def fold(self, page: Page, whole: Mapping[str, Table]) -> Page:
        """Fold a page whose tables may have been folded before; `whole` has those."""
        sections = [self._fold_section(section, whole) for section in page.sections]
        said = (
            f"Folded, so that this page stays small: tables show up to {self.n_rows} rows, and {len(self.plots)} plots "
            f"are files beside it. Below each table stands the name of the file that has all its rows."
        )
        return replace(page, lead=[*page.lead, said], sections=sections)

    def _fold_section(self, section: Section, whole: Mapping[str, Table]) -> Section:
        tables, folded = (
            [self.fold_table(section.name, table, whole) for table in tables]
            for tables in (section.tables, section.folded)
        )
        groups, details = self._fold_claims(section, whole)
        glance, plots, left = section.glance, section.plots, list[Plot]()
        if self.n_plots is not None:
            left, plots = [*(glance.plots[self.n_plots :] if glance else []), *plots], []
            self.plots += left
        if glance:
            table = self.fold_table(section.name, glance.table, whole)
            glance = replace(glance, table=table, plots=glance.plots[: self.n_plots])
        return replace(
            section,
            lead=[*section.lead, *_say_where([plot.name for plot in left])],
            tables=tables,
            folded=folded,
            glance=glance,
            plots=plots,
            parts=[self._fold_section(part, whole) for part in section.parts],
            groups=groups,
            details=details,
        )

    def fold_table(self, section: str, table: Table, whole: Mapping[str, Table]) -> Table:
        """Keep the first rows, with a note that names the file that has all."""
        name = _name_rows(section, table)
        table = whole.get(name, table)
        if len(table.rows) <= self.n_rows:
            return table
        self.whole[name] = table
        note = f"{format_count(self.n_rows)} of {format_count(len(table.rows))} rows are shown; {name} has all."
        return replace(table, rows=table.rows[: self.n_rows], notes=[*table.notes, note])

    def _fold_claims(self, section: Section, whole: Mapping[str, Table]) -> tuple[list[ClaimGroup], list[str]]:
        """Keep the first claims of each family and the first sentences; all of them are in the tables' files."""
        groups = [replace(group, claims=group.claims[: self.n_rows]) for group in section.groups]
        if max([len(section.details), *(len(group.claims) for group in section.groups)]) <= self.n_rows:
            return section.groups, section.details
        tables = {_name_rows(section.name, table): table for table in section.tables}
        self.whole |= {name: whole.get(name, table) for name, table in tables.items()}
        names = ", ".join(tables)
        for group, all_of_it in zip(groups, section.groups, strict=True):
            if n_more := len(all_of_it.claims) - len(group.claims):
                group.guarantee = f"{group.guarantee} {_count_more(n_more, 'claims of this family', names)}".strip()
        n_more = len(section.details) - self.n_rows
        more = [_count_more(n_more, "sentences; the claims", names)] if n_more > 0 else []
        return groups, [*section.details[: self.n_rows], *more]


def _count_more(n: int, what: str, names: str) -> str:
    return f"{format_count(n)} more {what} are in {names}."


def _say_where(names: list[str]) -> list[str]:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return [f"Plots beside this page: {', '.join(f'{name}.svg' for name in names[:MAX_NAMED])}{more}."] if names else []


def _name_rows(section: str, table: Table) -> str:
    return f"rows-{make_slug(section)}-{make_slug(table.title.lower().replace(' ', '-'))}.csv"


def write_whole(tables: Mapping[str, Table], folder: Path) -> list[Path]:
    """Write complete tables under their names: the cells of the page, as CSV."""
    return [_write_rows(folder / name, table) for name, table in tables.items()]


def _write_rows(path: Path, table: Table) -> Path:
    rows: Iterable[list[str]] = (table.header, *table.rows)
    with atomic_text(path) as file:
        csv.writer(file, lineterminator="\n").writerows([to_cell(cell) for cell in row] for row in rows)
    return path
