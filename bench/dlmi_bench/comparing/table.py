"""The comparison as rows of plain numbers in SI units, and as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from dlmi_bench.backends import BACKENDS
from dlmi_bench.comparing.settings import CompareSettings
from dlmi_bench.records import Figure, Mark, Record, list_marks
from dlmi_bench.store.rounds import compute_latency_ratio
from dlmi_bench.units import format_count, format_percent, format_quantity, format_range, format_ratio
from dlmi_reports.structure import Table

Row = dict[str, Any]
BOUNDS = ("", "_lo", "_hi")
# Fields of a row that are counted from the file that was given: figure and conditions.
PACKING: dict[str, tuple[str, dict[str, str]]] = {
    "n_nonzero": ("n_nonzero", {}),
    "weight_bits": ("weight_bits", {}),
    "packed_bytes": ("size_bytes", {"artifact": "packed"}),
    "packed_zstd_bytes": ("size_bytes", {"artifact": "packed+zstd"}),
}


def list_rows(records: Sequence[Record], settings: CompareSettings, reference: str) -> list[Row]:
    """A row for each file, runtime, number of threads and batch, the files in the order in which they were given.

    Args:
        reference: File that the latency of the others is a multiple of.
    """
    by_file: dict[str, dict[str, Record]] = {}
    for record in records:
        by_file.setdefault(record.cell.model, {})[record.cell.kind] = record
    grid = [(b, t, n) for b in settings.backends for t in settings.threads for n in settings.batches]
    return [
        _make_row(name, found, by_file[reference], backend, n_threads, batch)
        for backend, n_threads, batch in grid
        for name, found in by_file.items()
    ]


def _make_row(
    name: str, found: dict[str, Record], reference: dict[str, Record], backend: str, n_threads: int, batch: int
) -> Row:
    latency = found["latency"].figure("latency_s", backend=backend, batch=batch, threads=n_threads)
    if latency is None:  # the reason of a runtime that was not timed; never the latency of another benchmark
        latency = next((f for f in found["latency"].figures if _is_reason(f, backend)), None)
    accuracy = found["train"].figure("test_accuracy", backend=backend)
    energy = found["energy"].figure("inference_energy_j", backend=backend, component="cpu", idle_subtracted=False)
    parity = found["train"].figure("max_score_error", backend=backend)
    row: Row = {"model": name, "backend": backend, "threads": n_threads, "batch": batch}
    row |= {"precision": latency.conditions.get("precision", "") if latency else ""}
    row |= _list_bounds("test_accuracy", accuracy) | {"n_test": accuracy.n if accuracy else 0}
    row |= _list_bounds("latency_s", latency) | _compute_ratio(found, reference, backend, n_threads, batch)
    role = BACKENDS[backend].artifact_role
    row |= {name: _find_value(found["counts"].figure(name)) for name in ("n_parameters", "macs")}
    row["size_bytes"] = _find_value(found["counts"].figure("size_bytes", artifact=role))
    arena = found["counts"].figure("peak_activation_bytes") if role == "onnx" else None  # of the file that was given
    row["peak_activation_bytes"] = _find_value(arena)
    row |= _list_packing(found["counts"]) if role == "onnx" else dict.fromkeys(PACKING)
    for peak in ("peak_bytes", "peak_added_bytes"):
        row[peak] = _find_value(found["memory"].figure(peak, backend=backend))
    row |= {"energy_j": energy.value / int(energy.conditions["n_inferences"]) if energy and energy.value else None}
    row |= {"energy_source": f"{energy.kind}, {energy.source}" if energy and energy.value is not None else ""}
    row |= {"max_score_error": _find_value(parity)}
    row |= {"decision_disagreement": _find_value(found["train"].figure("decision_disagreement", backend=backend))}
    row["marks"] = [*map(str, list_marks(latency, parity, accuracy))]
    row["notes"] = _list_notes(accuracy, latency, parity, energy)
    row["reasons"] = _list_reasons(accuracy, latency, parity, energy)
    return row


def _list_packing(counts: Record) -> Row:
    return {name: _find_value(counts.figure(figure, **conditions)) for name, (figure, conditions) in PACKING.items()}


def _is_reason(figure: Figure, backend: str) -> bool:
    is_latency = figure.name == "latency_s" and figure.conditions.get("backend") == backend
    return is_latency and figure.value is None


def _find_value(figure: Figure | None) -> float | None:
    return figure.value if figure else None


def _list_bounds(name: str, figure: Figure | None) -> Row:
    values = (figure.value, figure.lo, figure.hi) if figure else (None, None, None)
    return {f"{name}{end}": value for end, value in zip(BOUNDS, values, strict=True)}


def _compute_ratio(
    found: dict[str, Record], reference: dict[str, Record], backend: str, n_threads: int, batch: int
) -> Row:
    """Ratio of latencies with its interval; 1 without bounds for the reference itself; none where one is INVALID."""
    benchmark = {"backend": backend, "batch": batch, "threads": n_threads}
    pair = [record["latency"].figure("latency_s", **benchmark) for record in (reference, found)]
    if any(figure is None or figure.value is None or Mark.INVALID in list_marks(figure) for figure in pair):
        return _list_bounds("latency_ratio", None)
    if found is reference:
        return _list_bounds("latency_ratio", None) | {"latency_ratio": 1.0}
    ratio = compute_latency_ratio(
        reference["latency"], found["latency"], backend=backend, batch=batch, threads=n_threads
    )
    return _list_bounds("latency_ratio", ratio)


def _list_notes(*figures: Figure | None) -> list[str]:
    """List what the instruments say of their figures, each once."""
    return [*dict.fromkeys(str(note) for figure in figures if figure for note in figure.notes)]


def _list_reasons(*figures: Figure | None) -> list[str]:
    """List why figures are not available, each once."""
    return [*dict.fromkeys(figure.reason for figure in figures if figure and figure.reason)]


def is_invalid(row: Row) -> bool:
    """Tell a row whose figures are not those of the file: its scores or its timing are wrong."""
    return Mark.INVALID in row["marks"]


def make_tables(rows: Sequence[Row], reference: str) -> list[Table]:
    """Latency for each benchmark, then quality and size, then energy and agreement for each runtime."""
    benchmarks = list(dict.fromkeys((r["backend"], r["threads"], r["batch"]) for r in rows))
    backends = list(dict.fromkeys(r["backend"] for r in rows))
    tables = []
    for backend, n_threads, batch in benchmarks:
        wanted = {"backend": backend, "threads": n_threads, "batch": batch}
        tables.append(_make_latency_table(_select(rows, wanted), wanted))
    tables[-1].caption = (
        f"Median over processes, with the smallest and largest; ratio to {reference} of paired rounds, with its 95 % "
        "t-interval over processes."
    )
    for backend in backends:
        chosen = _select(
            rows, {**dict(zip(("backend", "threads", "batch"), benchmarks[0], strict=True)), "backend": backend}
        )
        tables += [_make_quality_table(chosen, backend), _make_cost_table(chosen, backend)]
    return [*tables, *_make_packing_tables(rows)]


def _select(rows: Sequence[Row], wanted: Mapping[str, object]) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _make_latency_table(rows: list[Row], wanted: Mapping[str, object]) -> Table:
    title = "Latency, {backend}, batch {batch}, threads {threads}".format(**wanted)
    header = ["file", "latency", "ratio", "mark"]
    cells = [[row["model"], _show(row, "latency_s", "s"), _show_ratio(row), (row["marks"] or [""])[-1]] for row in rows]
    return Table(title, "", header, cells)


def _show(row: Row, name: str, unit: str) -> str:
    value, lo, hi = (row[f"{name}{end}"] for end in BOUNDS)
    return "n/a" if value is None else format_range(value, lo, hi, unit)


def _show_ratio(row: Row) -> str:
    value, lo, hi = (row[f"latency_ratio{end}"] for end in BOUNDS)
    if value is None:
        return "n/a"
    return "1" if lo is None else format_ratio(value, lo, hi)


def _make_quality_table(rows: list[Row], backend: str) -> Table:
    n = max((row["n_test"] for row in rows), default=0)
    caption = f"Test accuracy of {n} examples, Wilson 95 %." if n else "No test set was given."
    header = ["file", "test % [95 %]", "precision", "size", "parameters", "MACs"]
    cells = [
        [
            row["model"],
            _show_accuracy(row),
            row["precision"],
            _quantify(row, "size_bytes", "bytes"),
            _count(row, "n_parameters"),
            _quantify(row, "macs", "macs"),
        ]
        for row in rows
    ]
    return Table(f"Quality and size, {backend}", caption, header, cells)


def _make_packing_tables(rows: Sequence[Row]) -> list[Table]:
    """What the weights of the given files take; nothing where none could be packed."""
    given = {row["model"]: row for row in rows if BACKENDS[row["backend"]].artifact_role == "onnx"}
    if all(row["packed_bytes"] is None for row in given.values()):
        return []
    caption = "Numbers of the file in the smallest lossless encoding of each tensor, without the graph."
    header = ["file", "nonzero weights", "bits per weight", "packed, bytes", "with zstd"]
    cells = [
        [
            row["model"],
            _count(row, "n_nonzero"),
            "n/a" if row["weight_bits"] is None else f"{row['weight_bits']:.2f}",
            _count(row, "packed_bytes"),
            _count(row, "packed_zstd_bytes"),
        ]
        for row in given.values()
    ]
    return [Table("Packed weights", caption, header, cells)]


def _count(row: Row, name: str) -> str:
    return "n/a" if row[name] is None else format_count(row[name])


def _show_accuracy(row: Row) -> str:
    value, lo, hi = (row[f"test_accuracy{end}"] for end in BOUNDS)
    return "n/a" if value is None else f"{format_percent(value)} [{format_percent(lo)}, {format_percent(hi)}]"


def _quantify(row: Row, name: str, unit: str) -> str:
    return "n/a" if row[name] is None else format_quantity(row[name], unit)


def _make_cost_table(rows: list[Row], backend: str) -> Table:
    sources = sorted({row["energy_source"] for row in rows if row["energy_source"]})
    caption = (
        "Peak memory that loading and one call add; arena: most bytes of activations alive at once, at batch 1; "
        f"gross energy of the processor for one example ({'; '.join(sources) or 'not available'}); largest difference "
        "from the scores of ONNX's own evaluator, and the share of other decisions."
    )
    header = ["file", "memory", "arena", "energy", "max error", "other %"]
    names = (("peak_added_bytes", "bytes"), ("peak_activation_bytes", "bytes"), ("energy_j", "j"))
    cells = [
        [row["model"], *(_quantify(row, *pair) for pair in names), _show_error(row), _show_share(row)] for row in rows
    ]
    return Table(f"Memory, energy and agreement, {backend}", caption, header, cells)


def _show_error(row: Row) -> str:
    return "n/a" if row["max_score_error"] is None else f"{row['max_score_error']:.1e}"


def _show_share(row: Row) -> str:
    share = row["decision_disagreement"]
    return "n/a" if share is None else format_percent(share)
