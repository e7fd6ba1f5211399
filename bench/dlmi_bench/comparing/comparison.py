"""The comparison: its records, its table, and a plot of accuracy against a cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.comparing.files import choose_names
from dlmi_bench.comparing.session import measure_files
from dlmi_bench.comparing.settings import CompareSettings
from dlmi_bench.comparing.table import Row, is_invalid, list_rows, make_tables
from dlmi_bench.errors import UsageError, list_choices, require
from dlmi_bench.jobs.inputs import LabelledSet
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.store import Store
from dlmi_reports.structure import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_TEST = "files"  # the task of a comparison without a test set


@dataclass(frozen=True)
class Comparison:
    """Several files side by side.

    Attributes:
        task: Name of the test set.
        reference: File that the latency of the others is a multiple of.
        rows: One for each file, runtime, number of threads and batch, in SI units; see `comparing.table`.
        failures: By file, what could not be measured, with the remedy.
        out: Folder of the records, of which reports and claims can be made.
    """

    task: str
    reference: str
    rows: Sequence[Row] = field(repr=False)
    failures: Mapping[str, str]
    out: Path

    @property
    def is_valid(self) -> bool:
        """True where everything was measured and no row is INVALID."""
        return not self.failures and not any(map(is_invalid, self.rows))

    def make_tables(self) -> list[Table]:
        """Make the tables for people, of any format."""
        return make_tables(self.rows, self.reference)

    def plot(self, cost: str = "latency_s") -> "Figure":
        """Draw test accuracy against a cost, of the first runtime, number of threads and batch.

        Raises:
            UsageError: there is no such cost, or no file has it and an accuracy.
            UnavailableError: matplotlib is not installed.
        """
        require("plots", "plot")
        from dlmi_reports.plots.joined import draw_joined

        first = self.rows[0]
        chosen = [row for row in self.rows if all(row[k] == first[k] for k in ("backend", "threads", "batch"))]
        figure = draw_joined([row | {"task": self.task} for row in chosen], cost)
        if cost == "latency_s":
            figure.axes[0].set_xlabel("latency, {backend}, batch {batch}, threads {threads} [s]".format(**first))
        return figure


def compare_subjects(
    subjects: Sequence[Subject],
    test: tuple[str, LabelledSet] | None,
    settings: CompareSettings,
    out: Path,
    on_progress: OnProgress,
    *,
    reference: str | None,
) -> Comparison:
    """Measure the files side by side, and keep the records in `out`.

    Args:
        test: Name of the test set, examples and classes.
        reference: Name of a file; the first by default.

    Raises:
        UsageError: two files have the same name, no file can be measured, or none is called `reference`.
    """
    names = choose_names([Path(subject.name) for subject in subjects])
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two files are called {doubled[0]}", "rename one: rows are called like their files")
    chosen = Path(reference).name.removesuffix(".onnx") if reference else names[0]
    if chosen not in names:
        raise UsageError(f"--reference {reference}: no such file", list_choices(chosen, names))
    task, labelled = test or (NO_TEST, None)
    store = Store(out)
    named = dict(zip(names, subjects, strict=True))
    records, failures = measure_files(named, labelled, settings, on_progress, task=task)
    store.add_done([(record, "") for record in records])
    measured = list(dict.fromkeys(record.cell.model for record in records))
    chosen = chosen if chosen in measured else measured[0]
    return Comparison(task, chosen, list_rows(records, settings, chosen), failures, out)
