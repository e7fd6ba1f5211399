"""The report as a plain structure, which each format writes in its own syntax."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dlmi_bench.extras import find_missing
from dlmi_bench.records import ARM
from dlmi_bench.units import clean_all, format_count
from dlmi_reports.claims.changes import LockedVerdicts, add_changes
from dlmi_reports.claims.file import load_claims, select_claims
from dlmi_reports.claims.prose import describe_families, list_sentences, make_claim_tables
from dlmi_reports.claims.verdicts import choose_claims, judge_claims
from dlmi_reports.formats.folding import Fold
from dlmi_reports.front.answer import make_answer
from dlmi_reports.front.glance import SHOWN, make_glance
from dlmi_reports.front.legend import move_remarks
from dlmi_reports.plots.curves import plot_curves
from dlmi_reports.plots.montage import plot_montages
from dlmi_reports.plots.probabilities import plot_probabilities
from dlmi_reports.plots.singles import make_calibration_tables, plot_singles
from dlmi_reports.results.arrays import list_damaged
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.structure import Answer, Page, Plot, Section, Table
from dlmi_reports.tables.ablation import make_ablation_table
from dlmi_reports.tables.agreement import make_agreement_tables
from dlmi_reports.tables.classes import make_class_tables
from dlmi_reports.tables.differences import make_difference_tables
from dlmi_reports.tables.discrimination import make_discrimination_tables
from dlmi_reports.tables.efficiency import make_efficiency_tables
from dlmi_reports.tables.energy import make_energy_tables
from dlmi_reports.tables.firmware import make_firmware_tables
from dlmi_reports.tables.fronts import make_front_tables
from dlmi_reports.tables.imported import LEAD, make_import_tables
from dlmi_reports.tables.latency import make_latency_tables
from dlmi_reports.tables.origins import make_environment_table, make_failure_table, make_run_table
from dlmi_reports.tables.overview import list_notes, list_test_reads, make_tables, make_training_tables
from dlmi_reports.tables.references import make_observer_tables
from dlmi_reports.tables.reported import make_reported_tables
from dlmi_reports.tables.scans import make_scan_tables
from dlmi_reports.tables.size import make_size_tables
from dlmi_reports.tables.splits import list_leaks, list_remarks, list_splits
from dlmi_reports.tables.subgroups import make_subgroup_tables
from dlmi_reports.tables.tuning import make_tuning_tables

TABLES: tuple[Callable[[TaskResults], list[Table]], ...] = (make_tables,)
# Tables that a reader can unfold.
FOLDED: tuple[Callable[[TaskResults], list[Table]], ...] = (
    make_training_tables,
    make_size_tables,
    make_agreement_tables,
    make_latency_tables,
    make_calibration_tables,
    make_energy_tables,
    make_difference_tables,
    make_efficiency_tables,
    make_front_tables,
    make_firmware_tables,
    make_observer_tables,
    make_class_tables,
    make_discrimination_tables,
    make_subgroup_tables,
    make_tuning_tables,
    make_scan_tables,
)
# How their figures are measured: names of METHODS.
BEHIND: dict[Callable[[TaskResults], list[Table]], tuple[str, ...]] = {
    make_tables: ("accuracy", "training", "latency", "counts"),
    make_training_tables: ("training",),
    make_size_tables: ("counts",),
    make_agreement_tables: ("accuracy",),
    make_latency_tables: ("latency",),
    make_calibration_tables: ("latency",),
    make_energy_tables: ("energy",),
    make_difference_tables: ("comparing",),
    make_efficiency_tables: ("comparing", "training"),
    make_front_tables: ("comparing",),
    make_firmware_tables: ("firmware",),
    make_observer_tables: ("accuracy",),
    make_class_tables: ("accuracy",),
    make_discrimination_tables: ("answers",),
    make_subgroup_tables: ("answers",),
    make_tuning_tables: ("accuracy",),
    make_scan_tables: (),
}
# Tables of a task whose answers others reported.
REPORTED: tuple[Callable[[TaskResults], list[Table]], ...] = (make_reported_tables,)
REPORTED_FOLDED = (
    make_difference_tables,
    make_front_tables,
    make_class_tables,
    make_discrimination_tables,
    make_subgroup_tables,
)
PLOTS: tuple[Callable[[TaskResults], list[Plot]], ...] = (plot_curves, plot_singles, plot_probabilities, plot_montages)


def make_page(
    results: Results,
    *extra: Section,
    claims: Path | None = None,
    columns: Sequence[str] = SHOWN,
    whole: dict[str, Table] | None = None,
) -> Page:
    """Make the report. Sections that do not belong to a task come before those that do.

    Args:
        claims: File of claims to judge; see `make_claim_section`.
        columns: Costs in the joined tables; see `front.glance`.
        whole: Receives the complete tables of those that the page folds, by the name of the file that it says.
    """
    reads = [n for record in results.records for n in list_test_reads(record)]
    n_files, n_reads, most = (format_count(n) for n in (len(reads), sum(reads), max(reads, default=0)))
    tested = f" {n_files} artifacts were evaluated on a test split, with {n_reads} reads of it, at most {most} for one"
    tested += " artifact."
    lead = f"{len(results.records)} cells, {len(results.failures)} failed attempts."
    lead += "" if results.tasks and all(task.is_reported for task in results.tasks.values()) else tested
    synthetic = [task.name for task in results.tasks.values() if task.is_synthetic]
    said = [f"SYNTHETIC DATA in: {', '.join(synthetic)}. Its figures say nothing about patients."] if synthetic else []
    said += [leak for task in results.tasks.values() for leak in list_leaks(task)]
    said += _list_kinds(results)
    said += _list_doubts(results)
    failures, origin = make_failure_table(results), [make_environment_table(results.own), make_run_table(results)]
    imported, is_all = _make_import_sections(results), not results.tasks
    verdicts, n_others = judge(results, claims)
    answer: Answer = clean_all(make_answer(verdicts, results))
    sections = [
        *extra,
        *(imported if is_all else []),
        *_make_task_sections(results, columns),
        write_claims(verdicts, n_others, answer),
        *([] if is_all else imported),
        Section(
            "origin",
            "Origin",
            [lead],
            tables=[failures] if failures.rows else [],
            folded=[table for table in origin if table.rows],
        ),
    ]
    answer.sentences[:0] = [section.lead[0] for section in extra]
    fold = Fold(whole={} if whole is None else whole)
    return Page("dlmi-bench report", said, [_cut(section, fold) for section in sections], answer)


def _list_kinds(results: Results) -> list[str]:
    """Say on which kinds of machine costs were measured, where there are several."""
    if len(results.kinds) < 2:
        return []
    said = f"Times, energies and memory are of {len(results.kinds)} kinds of machine, and those of each are kept apart"
    return [f"{said}: {'; '.join(results.kinds)}."]


def _list_doubts(results: Results) -> list[str]:
    """Say which files are damaged, and which attempts have no digest to be checked by."""
    damaged = [cause for task in results.tasks.values() for m in task.models.values() for cause in list_damaged(m)]
    n_without = sum(not attempt.has_digest for attempt in results.attempts)
    said = [f"DAMAGED, so that what rests on it is not available: {cause}." for cause in damaged]
    if n_without:
        said.append(f"Attempts without digest, by an older version: {n_without}. A change to one would not show.")
    return said


def make_claim_section(results: Results, file: Path | None = None) -> Section:
    """Test the claims of a file, or those of `choose_claims`; claims about tasks that have no results are counted."""
    verdicts, n_others = judge(results, file)
    return write_claims(verdicts, n_others, make_answer(verdicts, results))


def judge(results: Results, file: Path | None) -> tuple[LockedVerdicts, int]:
    """Judge the claims about tasks that have results, and count the others."""
    stated = load_claims(file) if file else choose_claims(results)
    asked = select_claims(stated, results.tasks)
    return add_changes(judge_claims(asked, results), stated, results), len(stated.claim) - len(asked.claim)


def write_claims(verdicts: LockedVerdicts, n_others: int, answer: Answer) -> Section:
    """Write the verdicts as tables, as groups and in words."""
    others = [f"Not shown: {n_others} claims about tasks that have no results here."] if n_others else []
    section: Section = clean_all(
        Section(
            name="claims",
            title="Claims",
            lead=[*verdicts.lock.lines, *describe_families(verdicts), *others],
            tables=[replace(table, methods=("claims",)) for table in make_claim_tables(verdicts, verdicts.lock.notes)],
            details=list_sentences(verdicts),
            groups=answer.groups,
        )
    )
    return section


def _make_task_sections(results: Results, columns: Sequence[str]) -> list[Section]:
    """Make a section for each task, with its arms in it; an arm without its task stands alone."""
    made = {name: _make_section(task, columns) for name, task in results.tasks.items()}
    if len(results.kinds) > 1:
        for name, section in made.items():
            where = results.tasks[name].kinds
            section.lead += [f"Costs measured on {where[0]}."] if len(where) == 1 else []
    for name, section in made.items():
        base = name.partition(ARM)[0]
        if base != name and base in made:
            made[base].parts.append(section)
    for name in made:
        if ARM not in name and (table := make_ablation_table(results.tasks, name)):
            made[name].tables.append(table)
    inner = {id(part) for section in made.values() for part in section.parts}
    return [section for section in made.values() if id(section) not in inner]


def _cut(section: Section, fold: Fold) -> Section:
    """Fold the tables of a section and of its parts, and move what is repeated in their cells below them."""
    return replace(
        section,
        tables=[fold.fold_table(section.name, move_remarks(table), {}) for table in section.tables],
        folded=[fold.fold_table(section.name, move_remarks(table), {}) for table in section.folded],
        parts=[_cut(part, fold) for part in section.parts],
    )


def _make_import_sections(results: Results) -> list[Section]:
    tables = make_import_tables(results.imported)
    return [Section("imported", "Imported benchmarks", [LEAD], tables=tables)] if tables else []


def _make_section(task: TaskResults, columns: Sequence[str]) -> Section:
    data, splits = task.provenance.data, task.provenance.splits
    source = f"{data.note} Source: {data.source or 'unknown'}."
    sizes = ", ".join(f"{n} {name}" for name, n in splits.items())
    first = " in the first fold" if task.provenance.folds else ""
    chosen = (REPORTED, REPORTED_FOLDED) if task.is_reported else (TABLES, FOLDED)
    tables, folded = (
        [
            replace(table, methods=("reported",) if task.is_reported else BEHIND[make])
            for make in makers
            for table in make(task)
        ]
        for makers in chosen
    )
    lack = find_missing("plots")
    if task.is_synthetic:
        tables, folded = ([_mark_synthetic(table) for table in found] for found in (tables, folded))
    return Section(
        name=task.name,
        title=task.name,
        lead=[f"{source} {sizes} examples{first}." if sizes else source, *list_splits(task)],
        plots=[] if lack else [plot for draw in PLOTS for plot in draw(task)],
        tables=tables,
        folded=folded,
        notes=[
            *list_remarks(task),
            *list_notes(task),
            *([f"No plots: {lack}."] if lack else []),
        ],
        is_synthetic=task.is_synthetic,
        glance=make_glance(task, columns),
    )


def _mark_synthetic(table: Table) -> Table:
    return replace(table, caption=f"Synthetic data. {table.caption}")
