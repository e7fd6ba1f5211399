"""The counts of a model or file as figures, as they are made in a worker."""

from importlib import import_module
from pathlib import Path
from typing import Any

from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.instruments.counts import FORMULA, MAX_DISAGREEMENT, Counts, compute_disagreement, measure_counts
from dlmi_bench.instruments.counts.products import Products
from dlmi_bench.instruments.onnx_faults import graph_faults
from dlmi_bench.jobs.protocol import CountsRequest, OnProgress
from dlmi_bench.jobs.subject import Subject, build, compute_closed_form
from dlmi_bench.records import Figure, Note, unavailable
from dlmi_bench.units import format_share

TRAINING_RULE = (
    "forward + backward in training mode, gradients of all trainable parameters, loss and optimiser left out"
)
NO_ACTIVATIONS = "only a trace of the module has them"


def run_counts_job(request: CountsRequest, _: OnProgress) -> tuple[Figure, ...]:
    """Count a model by every counter, and a file of it by its graph."""
    subject = request.subject
    if subject.kind != "file":  # before code of the user's, which may set what its packages stumble over
        import_module("dlmi_bench.instruments.counts.trace")
    file = subject.name if subject.kind == "file" else request.onnx
    graph = (_count_file(Path(file), subject),) if file else ()
    if subject.kind == "file":
        figures = [*_make_file_figures(Path(subject.name)), *make_macs_figures(graph)]
    else:
        counts = measure_counts(build(subject), subject.input_shape, closed_form=compute_closed_form(subject))
        if all(p.macs is None for p in counts.products if p.counter != FORMULA):  # a formula takes any input
            raise UsageError(
                f"{subject.name} on {subject.input_shape}: {counts.products[0].reason}",
                "check the shape that --input names, batch first; inputs are one tensor of floating-point numbers",
            )
        figures = make_count_figures(counts, graph)
    return tuple(figures)


def make_count_figures(counts: Counts, graph: tuple[Products, ...] = ()) -> list[Figure]:
    """Parameters, multiply-accumulates by each counter, activations, flops of training."""
    figures = [
        _count("n_parameters", counts.n_parameters, "torch"),
        _count("n_trainable_parameters", counts.n_trainable, "torch"),
        *make_macs_figures((*counts.products, *graph)),
    ]
    if counts.training_flops is None:
        figures.append(unavailable("training_flops", counts.training_reason))
    else:
        source = "FlopCounterMode on meta"
        figures.append(_count("training_flops", counts.training_flops, source, method=f"per example: {TRAINING_RULE}"))
    return figures


def make_macs_figures(products: tuple[Products, ...]) -> list[Figure]:
    """Multiply-accumulates by each counter, twice the first of them as flops, and activations."""
    disagreement = compute_disagreement(products)
    said = Note(None, f"counters disagree by {format_share(disagreement, 1)}")
    notes = (said,) if disagreement > MAX_DISAGREEMENT else ()
    figures = [_make_macs_figure(p, notes) for p in products]
    macs = next((p for p in products if p.macs is not None), None)
    if macs and macs.macs is not None:
        flops = Figure(name="flops", value=2 * macs.macs, kind="derived", source="2 x macs", notes=notes)
        figures = [*figures, flops]
    activations = next((p for p in products if p.n_activations is not None), None)
    if activations and activations.n_activations is not None:
        method = "outputs of convolutions and matrix products"
        figures.append(_count("n_activations", activations.n_activations, activations.source, method=method))
    else:
        figures.append(unavailable("n_activations", next((p.reason for p in products if p.reason), NO_ACTIVATIONS)))
    return sorted(figures, key=lambda figure: figure.value is None)  # what could be had stands first


def _make_macs_figure(products: Products, notes: tuple[Note, ...]) -> Figure:
    if products.macs is None:
        return unavailable("macs", products.reason, counter=products.counter)
    conditions: dict[str, str | int | float | bool] = {"counter": products.counter}
    if products.coverage is not None:
        conditions["coverage"] = products.coverage
    missed = tuple(Note(None, f"not counted: {name} x {n}") for name, n in products.uncounted.items())
    return _count("macs", products.macs, products.source, conditions=conditions, notes=notes + missed)


def _count(name: str, value: int, source: str, **extra: Any) -> Figure:
    return Figure(name=name, value=value, kind="counted", source=source, **extra)


def _count_file(path: Path, subject: Subject) -> Products:
    from dlmi_bench.instruments.counts.graph import count_by_graph
    from dlmi_bench.instruments.onnx_graph import load_graph

    try:
        with graph_faults(path):
            return count_by_graph(load_graph(path, is_whole=False), subject.input_shape)
    except BenchError as error:
        if subject.kind == "file":
            raise
        return Products("graph", "ONNX graph", None, reason=error.cause)


def _make_file_figures(path: Path) -> list[Figure]:
    from dlmi_bench.instruments.onnx_graph import count_parameters, list_external_files, load_graph

    with graph_faults(path):
        model = load_graph(path, is_whole=False)
        n_parameters = count_parameters(model)
    size = sum(file.stat().st_size for file in (path, *list_external_files(model, path)))
    method = (
        "constant tensors of the file, in nodes and nested graphs too, but for 8-byte integers (shapes, indices) and "
        "single numbers in nodes; normalisation may be folded into them"
    )
    return [
        _count("n_parameters", n_parameters, "ONNX graph", method=method),
        _count("size_bytes", size, "file", conditions={"artifact": "onnx"}),
    ]
