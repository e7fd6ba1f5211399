"""Tables of latency: every benchmark, its tail, models compared, and peak rates of the machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

from dlmi_bench.instruments.roofline import find_roofline
from dlmi_bench.records import Figure, unavailable
from dlmi_bench.stats.percentiles import PERCENTILES
from dlmi_bench.store.rounds import compute_latency_ratio, is_resolved
from dlmi_bench.units import format_count, format_quantity, format_range, format_share
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.marks import find_invalid
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import name_columns, name_side, name_title, render, render_latency, show

HEADER = ["backend", "batch", "threads"]


class BenchmarkConditions(TypedDict):
    """Conditions that tell two latencies of one model apart."""

    backend: str
    batch: int
    threads: int


@dataclass(frozen=True)
class LatencyRow:
    """A latency figure and the model that it belongs to."""

    model: ModelResults
    latency: Figure

    @property
    def benchmark(self) -> BenchmarkConditions:
        conditions = self.latency.conditions
        return {
            "backend": str(conditions["backend"]),
            "batch": int(conditions["batch"]),
            "threads": int(conditions.get("threads", 1)),
        }

    @property
    def cells(self) -> list[str]:
        return [str(value) for value in self.benchmark.values()]

    def find(self, name: str, **conditions: str) -> Figure | None:
        """Find another figure of the same benchmark."""
        return self.model.find("latency", name, **self.benchmark, **conditions)


def make_latency_tables(task: TaskResults) -> list[Table]:
    """All tables of latency; none if no latency was measured."""
    views = task.by_kind
    ratios, peaks = (list(map(make, views)) for make in (_make_ratio_table, _make_peak_table))
    return [table for table in (_make_sweep_table(task), *ratios, _make_tail_table(task), *peaks) if table.rows]


def _list_rows(task: TaskResults) -> Iterator[LatencyRow]:
    for model in task.list_sides("latency"):
        record = model.measured.get("latency")
        for figure in record.figures if record else ():
            if figure.name == "latency_s":
                yield LatencyRow(model, figure)


def _make_sweep_table(task: TaskResults) -> Table:
    caption = (
        "Median over fresh processes of the median over rounds; brackets hold the smallest and largest process median. "
        "Overhead is the share that an empty call of the same runtime takes. Attainable is the shortest possible time, "
        "as a share of the latency: that of the arithmetic or of reading weights and activations, whichever is longer, "
        "at the peak rates below. Above 100 % the machine was slower while its rates were measured. Benchmarks with "
        "several threads are pinned to as many CPUs."
    )
    header = [*name_columns(task), *HEADER, "latency", "examples a second", "overhead", "attainable", "bound by"]
    rows = [[*name_side(task, row.model), *row.cells, *_describe_row(row)] for row in _list_rows(task)]
    return Table("Latency", caption, header, rows)


def _describe_row(row: LatencyRow) -> list[str]:
    counts = row.model.measured.get("counts")
    roofline = find_roofline(row.latency, counts.figures if counts else (), row.model.measured["latency"].figures)
    attainable = [f"n/a ({roofline.reason})", "n/a"]
    if roofline.attainable_s is not None and row.latency.value:
        attainable = [format_share(roofline.attainable_s / row.latency.value, 1), roofline.bound]
    shown = show(row.find("overhead_share"), lambda f: format_share(f.value or 0))
    return [render_latency(row.latency), render(row.find("throughput_hz")), shown, *attainable]


def _make_ratio_table(task: TaskResults) -> Table:
    """Compare with the chosen reference, by default the smallest model that was timed."""
    timed = [model for model in task.by_size if "latency" in model.measured]
    if len(timed) < 2:
        return Table("Faster and slower, side by side", "", [], [])
    reference = next((model for model in timed if model.name == task.chosen_reference), timed[0])
    caption = (
        f"Latency as a multiple of that of {reference.name}{', the smallest model' if reference is timed[0] else ''}. "
        "Rounds are paired, and each process gives one number. Brackets hold 95 % t-intervals over processes; an "
        "interval that contains 1 does not resolve which is faster."
    )
    rows = [
        [row.model.name, *row.cells, *_describe_ratio(_compare(reference, row))]
        for row in _list_rows(task)
        if row.model is not reference
    ]
    header = ["model", *HEADER, f"times {reference.name}", "interval", "processes", "verdict"]
    return Table(name_title("Faster and slower, side by side", task), caption, header, rows)


def _compare(reference: ModelResults, row: LatencyRow) -> Figure:
    """Compute the ratio to the same benchmark of the reference; not available if either is INVALID."""
    benchmark = row.benchmark
    for figure in (reference.find("latency", "latency_s", **benchmark), row.latency):
        if note := find_invalid(figure):
            return unavailable("latency_ratio", str(note), **benchmark)
    return compute_latency_ratio(reference.measured["latency"], row.model.measured["latency"], **benchmark)


def _describe_ratio(ratio: Figure) -> list[str]:
    if ratio.value is None or ratio.lo is None or ratio.hi is None:
        return [f"n/a ({ratio.reason})", "", "", "n/a"]
    value, _, bounds = format_range(ratio.value, ratio.lo, ratio.hi, "").partition(" ")
    verdict = "slower" if ratio.lo > 1 else "faster"
    return [value, bounds, str(ratio.n), f"{verdict}, resolved" if is_resolved(ratio) else "not resolved"]


def _make_tail_table(task: TaskResults) -> Table:
    caption = (
        "Calls timed one by one, all processes together. Parentheses hold the one-sided 95 % bound of each percentile, "
        "from order statistics; with too few calls, the number that is needed. Outliers lie more than 1.5 (severe: 3) "
        "interquartile ranges beyond the quartiles of their process; they are counted and not removed."
    )
    header = [*name_columns(task), *HEADER, *PERCENTILES, "outliers (severe)", "calls"]
    shown = [row for row in _list_rows(task) if row.find("single_call_s")]
    rows = [[*name_side(task, row.model), *row.cells, *_describe_tail(row)] for row in shown]
    return Table("Single calls", caption, header, rows)


def _describe_tail(row: LatencyRow) -> list[str]:
    percentiles = [show(row.find("single_call_s", percentile=name), _format_bound) for name in PERCENTILES]
    mild, severe = (row.find("n_outliers", fence=fence) for fence in ("mild", "severe"))
    outliers = show(mild, lambda f: f"{_format_count(f)} ({show(severe, _format_count)})")
    first = row.find("single_call_s")
    return [*percentiles, outliers, format_count(first.n) if first else ""]


def _make_peak_table(task: TaskResults) -> Table:
    """Show the peak rates of the machine, from the first model: they are the same for all."""
    record = next((row.model.measured["latency"] for row in _list_rows(task)), None)
    cells = []
    for figure in record.figures if record else ():
        if figure.name in ("peak_flop_hz", "peak_byte_hz"):
            size = figure.conditions.get("working_set_bytes")
            what = "arithmetic, FLOP" if size is None else f"reading {format_quantity(float(size), 'bytes')}, bytes"
            cells.append([what, str(figure.conditions["threads"]), render(figure), figure.method])
    caption = "Measured in a separate process before the models. Brackets hold smallest and largest of the repeats."
    title = f"Peak rates of {task.kind or 'this machine'}"
    return Table(title, caption, ["what", "threads", "a second", "how"], cells)


def _format_count(figure: Figure) -> str:
    return format_count(figure.value or 0)


def _format_bound(figure: Figure) -> str:
    """Write, for instance, "5.2 us (<= 5.3 us)"."""
    assert figure.value is not None
    assert figure.hi is not None
    return f"{format_quantity(figure.value, 's')} (<= {format_quantity(figure.hi, 's')})"
