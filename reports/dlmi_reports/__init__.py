"""Reports: tables, plots and pages from a store. Reads records; imports neither torch nor models nor tasks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlmi_bench.store import Store
    from dlmi_reports.structure import Document


def make_document(
    store: "Store",
    *,
    against: "Store | None" = None,
    reference: str | None = None,
    claims: Path | None = None,
    columns: Sequence[str] = (),
) -> "Document":
    """Make the page and the records that the formats write.

    Args:
        against: Another store to compare with, in a section of its own.
        reference: Model to compare the others with; by default the most accurate one of each task.
        claims: File of claims to judge; by default that in the folder of the store, else the course's.
        columns: Costs in the joined tables, four at most.

    Raises:
        StoreError: a store holds no finished cell.
        UsageError: no such model or cost, or the file of claims is wrong.
    """
    from dlmi_bench.units import clean_line
    from dlmi_reports.front.glance import SHOWN, check_columns
    from dlmi_reports.page import make_page
    from dlmi_reports.results.load import load_results
    from dlmi_reports.structure import Document, Table
    from dlmi_reports.tables.changes import make_change_section
    from dlmi_reports.tables.joined import list_joined

    check_columns(columns)
    results = load_results(store, reference=reference)
    extra = [make_change_section(results, load_results(against), clean_line(str(against.folder)))] if against else []
    whole: dict[str, Table] = {}
    page = make_page(results, *extra, claims=claims, columns=columns or SHOWN, whole=whole)
    return Document(page, results.records, list_joined(results), whole)


def write_report(
    store: "Store",
    folder: Path,
    formats: Sequence[str] | None = None,
    *,
    against: "Store | None" = None,
    reference: str | None = None,
    claims: Path | None = None,
    summary: Path | None = None,
    plots: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> list[Path]:
    """Write the report in each of `formats`, all by default, and a short form to `summary`; returns the files.

    `plots` are kinds of file in which every plot is redrawn for print, `columns` the costs in the joined tables.

    Raises:
        StoreError: a store holds no finished cell.
        UsageError: no such model, or the file of claims is wrong.
    """
    from dlmi_reports.formats.folding import write_whole
    from dlmi_reports.formats.markdown import format_summary
    from dlmi_reports.formats.registry import FORMATS

    document = make_document(store, against=against, reference=reference, claims=claims, columns=columns)
    folder.mkdir(parents=True, exist_ok=True)
    written = [path for name in formats or FORMATS for path in FORMATS[name](document, folder)]
    written = [*dict.fromkeys([*written, *write_whole(document.whole, folder)])]
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(format_summary(document.page))
        written.append(summary)
    if plots:
        from dlmi_reports.plots.paper import write_plots
        from dlmi_reports.results.load import load_results

        written += write_plots(load_results(store, reference=reference), folder, plots)
    return written


def write_export(store: "Store", folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write the results in each of `formats`, such as jsonl, parquet or mlbom; returns the files.

    Raises:
        StoreError: the store holds no finished cell.
        UsageError: a format needs a package that is not installed.
    """
    from dlmi_reports.formats.registry import EXPORTS
    from dlmi_reports.results.load import load_results

    results = load_results(store)
    folder.mkdir(parents=True, exist_ok=True)
    return [path for name in formats for path in EXPORTS[name](results, folder)]
