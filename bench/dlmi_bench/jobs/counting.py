"""The counts of a model or file as figures, as they are made in a worker."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlmi_bench.errors import BenchError, DataError, UsageError
from dlmi_bench.instruments.counts import FORMULA, MAX_DISAGREEMENT, Counts, compute_disagreement, measure_counts
from dlmi_bench.instruments.counts.products import Products
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.jobs.protocol import CountsRequest, OnProgress
from dlmi_bench.jobs.subject import Subject, build, compute_closed_form
from dlmi_bench.records import Figure, Note, unavailable
from dlmi_bench.units import format_share

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

TRAINING_RULE = (
    "forward + backward in training mode, gradients of all trainable parameters, loss and optimiser left out"
)
NO_LISTS = "its operators of ai.onnx.ml hold no list of numbers"
NO_ACTIVATIONS = "only a trace of the module has them"


def run_counts_job(request: CountsRequest, _: OnProgress) -> tuple[Figure, ...]:
    """Count a model by every counter, and a file of it by its graph."""
    subject = request.subject
    if subject.kind != "file":  # before code of the user's, which may set what its packages stumble over
        import_module("dlmi_bench.instruments.counts.trace")
    file = subject.name if subject.kind == "file" else request.onnx
    graph = (_count_file(Path(file), subject),) if file else ()
    if subject.kind == "file":
        figures = [*_make_file_figures(Path(subject.name), subject), *make_macs_figures(graph)]
    else:
        network = build(subject)
        counts = measure_counts(network, subject.input_shape, closed_form=compute_closed_form(subject))
        if all(p.macs is None for p in counts.products if p.counter != FORMULA):  # a formula takes any input
            raise UsageError(
                f"{subject.name} on {subject.input_shape}: {counts.products[0].reason}",
                "check the shape that --input names, batch first; inputs are one tensor of floating-point numbers",
            )
        figures = [*make_count_figures(counts, graph), *([_size(network, subject)] if request.is_sized else [])]
        figures += _describe_export(Path(request.onnx)) if request.onnx and request.is_trained else []
    return tuple(figures)


def make_count_figures(counts: Counts, graph: tuple[Products, ...] = ()) -> list[Figure]:
    """Parameters, multiply-accumulates by each counter, activations, flops of training."""
    return [
        _count("n_parameters", counts.n_parameters, "torch"),
        _count("n_trainable_parameters", counts.n_trainable, "torch"),
        *make_macs_figures((*counts.products, *graph)),
        *make_training_figures(counts.training),
    ]


def make_training_figures(training: tuple[Products, ...]) -> list[Figure]:
    """Flops of forward and backward by each counter."""
    if not training:
        return [unavailable("training_flops", "no trainable parameter")]
    notes, method = _note_disagreement(training), f"per example: {TRAINING_RULE}"
    figures = [_make_figure("training_flops", 2, p, notes, method=method) for p in training]
    return sorted(figures, key=lambda figure: figure.value is None)


def make_macs_figures(products: tuple[Products, ...]) -> list[Figure]:
    """Multiply-accumulates by each counter, twice the first of them as flops, and activations."""
    notes = _note_disagreement(products)
    figures = [_make_figure("macs", 1, p, notes) for p in products]
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


def _note_disagreement(products: tuple[Products, ...]) -> tuple[Note, ...]:
    disagreement = compute_disagreement(products)
    said = Note(None, f"counters disagree by {format_share(disagreement, 1)}")
    return (said,) if disagreement > MAX_DISAGREEMENT else ()


def _make_figure(name: str, scale: int, products: Products, notes: tuple[Note, ...], **extra: Any) -> Figure:
    """Figure of one counter: `scale` times its multiply-accumulates."""
    if products.macs is None:
        return unavailable(name, products.reason, counter=products.counter)
    conditions: dict[str, str | int | float | bool] = {"counter": products.counter}
    if products.coverage is not None:
        conditions["coverage"] = products.coverage
    said = (*products.notes, *(f"not counted: {name} x {n}" for name, n in products.uncounted.items()))
    own, value = tuple(Note(None, text) for text in said), scale * products.macs
    return _count(name, value, products.source, conditions=conditions, notes=notes + own, **extra)


def _count(name: str, value: int, source: str, **extra: Any) -> Figure:
    return Figure(name=name, value=value, kind="counted", source=source, **extra)


def _size(network: "nn.Module", subject: Subject) -> Figure:
    """Size of the file that a training would write; in place of its hash of the program stand as many zeros."""
    from dlmi_bench.instruments.counts.weights import compute_safetensors_bytes

    classes = f":{subject.n_classes}" if subject.n_classes else ""
    about = {"model": f"{subject.name} {'0' * 64} {subject.shape_text}{classes}"}
    return _count(
        "size_bytes",
        compute_safetensors_bytes(network.state_dict(), about),
        "safetensors",
        method="computed from names, shapes and types of the weights, without writing the file",
        conditions={"artifact": "torch"},
    )


def _count_file(path: Path, subject: Subject) -> Products:
    from dlmi_bench.instruments.counts.graph import count_by_graph
    from dlmi_bench.instruments.onnx.loading import load_graph
    from dlmi_bench.instruments.onnx.ports import read_signature

    try:
        with graph_faults(path):
            model = load_graph(path, is_whole=False)
            signature = read_signature(model, **subject.choices)
            return count_by_graph(model, subject.name_shapes(signature), signature)
    except BenchError as error:
        if subject.kind == "file":
            raise
        return Products("graph", "ONNX graph", None, reason=error.cause)


def _describe_export(path: Path) -> list[Figure]:
    """Numbers of the file that a training wrote, and their packing."""
    from dlmi_bench.instruments.onnx.contents import count_parameters
    from dlmi_bench.instruments.onnx.loading import load_graph
    from dlmi_bench.instruments.packing.figures import measure_file_packing

    try:
        n_parameters = count_parameters(load_graph(path, is_whole=False))
    except BenchError as error:
        return [unavailable("n_parameters", error.cause, artifact="onnx")]
    return [_count_numbers(n_parameters), *measure_file_packing(path)]


def _count_numbers(n_parameters: int | None) -> Figure:
    if n_parameters is None:
        return unavailable("n_parameters", NO_LISTS, artifact="onnx")
    method = (
        "constant tensors of the file, in nodes and nested graphs too, but for 8-byte integers (shapes, indices) and "
        "single numbers in nodes, and lists of numbers of ai.onnx.ml; normalisation may be folded into them"
    )
    return _count("n_parameters", n_parameters, "ONNX graph", method=method, conditions={"artifact": "onnx"})


def _make_file_figures(path: Path, subject: Subject) -> list[Figure]:
    from dlmi_bench.instruments.onnx.contents import count_parameters
    from dlmi_bench.instruments.onnx.external import list_external_files
    from dlmi_bench.instruments.onnx.loading import load_graph
    from dlmi_bench.instruments.packing.figures import measure_file_packing

    with graph_faults(path):
        model = load_graph(path, is_whole=False)
        n_parameters = count_parameters(model)
    size = sum(file.stat().st_size for file in (path, *list_external_files(model, path)))
    return [
        _count_numbers(n_parameters),
        _count("size_bytes", size, "file", conditions={"artifact": "onnx"}),
        _count_activation_bytes(model, subject),
        *measure_file_packing(path),
    ]


def _count_activation_bytes(model: "ModelProto", subject: Subject) -> Figure:
    from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
    from dlmi_bench.instruments.onnx.ports import read_signature

    signature, name = read_signature(model, **subject.choices), "peak_activation_bytes"
    try:
        n_bytes = compute_peak_activation_bytes(model, signature, subject.name_shapes(signature))
    except DataError as error:
        return unavailable(name, error.cause)
    batch = signature.batch or 1
    return _count(name, n_bytes, "ONNX graph", method=f"most bytes alive at once at batch {batch}, in the file's order")
