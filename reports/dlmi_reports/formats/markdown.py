"""Markdown format for pull requests: report.md holds the answer on a page or two, details.md everything."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_bench.units import escape_markdown
from dlmi_reports.formats.svg import write_plot
from dlmi_reports.front.methods import METHODS
from dlmi_reports.structure import STATES, Chip, ClaimGroup, Document, Page, Plot, Section, Table

MAX_OPEN = 50  # a table with more rows is folded
MAX_CLAIMS = 12  # that are named in a summary; all are in the details
DETAILS = "details.md"


def write_markdown(document: Document, folder: Path) -> list[Path]:
    """Write report.md, details.md, and each plot to a file of its own."""
    page = document.page
    plots = [plot for section in page.sections for plot in _list_plots(section)]
    svg = [write_plot(plot, folder) for plot in plots]
    details = [f"# {page.title}, details", *map(escape_markdown, page.lead), _format_contents(page)]
    for number, section in enumerate(page.sections, 1):
        details += [f'<a id="section-{number}"></a>', *_format_section(section, 2)]
    used = [table for section in page.sections for table in _list_tables(section)]
    behind = [name for name in METHODS if any(name in table.methods for table in used)]
    details += ["## How it was measured", *(f"**{name}.** {escape_markdown(METHODS[name])}" for name in behind)]
    texts = {"report.md": format_summary(page, has_plots=True), DETAILS: "\n\n".join(details) + "\n"}
    return [*(write_text(folder / name, text) for name, text in texts.items()), *svg]


def _list_plots(section: Section) -> Iterator[Plot]:
    yield from section.glance.plots if section.glance else []
    yield from section.plots
    for part in section.parts:
        yield from _list_plots(part)


def _list_tables(section: Section) -> Iterator[Table]:
    yield from section.all_tables
    for part in section.parts:
        yield from _list_tables(part)


def _format_section(section: Section, level: int) -> list[str]:
    parts = [f"{'#' * level} {escape_markdown(_mark_title(section))}", *map(escape_markdown, section.lead)]
    parts += [_format_plot(plot) for plot in [*(section.glance.plots if section.glance else []), *section.plots]]
    parts += [_fold(table, level + 1) for table in section.all_tables]
    parts += _format_list("In words", section.details) + _format_list("What the instruments say", section.notes)
    for part in section.parts:
        parts += _format_section(part, level + 1)
    return parts


def _mark_title(section: Section) -> str:
    return f"{section.title}, synthetic data" if section.is_synthetic else section.title


def _format_plot(plot: Plot) -> str:
    return f"![{escape_markdown(plot.alt)}]({plot.name}.svg)"


def _format_contents(page: Page) -> str:
    titles = [escape_markdown(_mark_title(section)).replace("[", "\\[") for section in page.sections]
    return "\n".join(f"- [{title}](#section-{number})" for number, title in enumerate(titles, 1))


def _fold(table: Table, level: int = 3) -> str:
    """Format a table; fold it if it is long."""
    text = format_markdown(table, level)
    return text if len(table.rows) <= MAX_OPEN else _format_fold(f"{table.title}, {len(table.rows)} rows", text)


def _format_list(title: str, texts: list[str]) -> list[str]:
    return [_format_fold(title, "\n".join(f"- {escape_markdown(text)}" for text in texts))] if texts else []


def _format_fold(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n\n{text}\n\n</details>"


def format_markdown(table: Table, level: int = 3) -> str:
    """Format heading, caption, a pipe table, and notes."""
    lines = [f"{'#' * level} {escape_markdown(table.title)}", "", escape_markdown(table.caption), ""]
    lines.append("| " + " | ".join(map(escape_markdown, table.header)) + " |")
    lines.append("|" + " --- |" * len(table.header))
    lines += ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in table.rows]
    lines += ["", *map(escape_markdown, table.notes)] if table.notes else []
    return "\n".join(lines)


def format_summary(page: Page, *, has_plots: bool = False) -> str:
    """Format the answer, the claims counted, and one table for each task; for GITHUB_STEP_SUMMARY as well.

    Args:
        has_plots: Whether the plots and the details lie beside it.
    """
    answer = page.answer
    parts = [f"# {page.title}", *map(escape_markdown, [*answer.sentences, *page.lead])]
    if answer.groups:
        parts += [_format_families(answer.groups), *_list_claims(answer.groups)]
    for section in page.sections:
        if section.glance:
            parts.append(f"## {escape_markdown(_mark_title(section))}")
            parts += [_format_plot(plot) for plot in section.glance.plots[:1] if has_plots]
            parts.append(format_markdown(section.glance.table))
        elif section.name in ("against", "imported"):
            parts += _format_section(section, 2)
    failed = [table for section in page.sections for table in section.tables if table.title == "Failed attempts"]
    parts += [format_markdown(table) for table in failed]
    parts += [f"Everything else is in [{DETAILS}]({DETAILS})."] if has_plots else []
    return "\n\n".join(parts) + "\n"


def _format_families(groups: list[ClaimGroup]) -> str:
    """Format the claims of each family, counted by state."""
    states = [state for state in STATES if any(chip.state == state for group in groups for chip in group.chips)]
    header = ["claims", *(f"{STATES[state][0]} {STATES[state][1]}" for state in states)]
    rows = [
        [group.title + (", synthetic data" if group.is_synthetic else ""), *_count(group.chips, states)]
        for group in groups
    ]
    lines = ["| " + " | ".join(map(escape_markdown, header)) + " |", "|" + " --- |" + " ---: |" * len(states)]
    return "\n".join(lines + ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in rows])


def _count(chips: list[Chip], states: list[str]) -> list[str]:
    found = {chip.state: chip.n for chip in chips}
    return [str(found.get(state, 0)) for state in states]


def _list_claims(groups: list[ClaimGroup]) -> list[str]:
    """List the primary claims that are refuted or open, MAX_CLAIMS at most."""
    asked = [
        claim for group in groups for claim in group.claims if claim.is_primary and claim.state not in ("supported",)
    ]
    lines = [f"- {claim.sign} {claim.verdict}: {escape_markdown(claim.sentence)}" for claim in asked[:MAX_CLAIMS]]
    lines += [f"- and {len(asked) - MAX_CLAIMS} more"] if len(asked) > MAX_CLAIMS else []
    return ["Primary claims that are not supported:", "\n".join(lines)] if lines else []
