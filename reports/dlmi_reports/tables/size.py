"""Size: what the weights of each model take, counted from its ONNX file."""

from dlmi_bench.records import Figure
from dlmi_bench.units import format_count, format_percent
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING, render, show

ARTIFACTS = ("float32", "packed", "packed+zstd")


def make_size_tables(task: TaskResults) -> list[Table]:
    """One table; none of stores without these figures."""
    if not any(model.find("counts", "n_nonzero") for model in task.by_size):
        return []
    caption = (
        "Numbers are all constants of the ONNX file, into which the export may have folded normalisation. Weights are "
        "those in tensors of two or more axes. Bits per weight are those of the packed weights, with scales and the "
        "index of zeros, without biases. Float32 has 4 bytes for each number. Packed is the smallest of a fixed list "
        "of lossless encodings for each tensor; zstd then compresses all of it. The graph is in none of these. "
        "Brackets hold the Wilson 95 % interval of the test accuracy. Figures are of the first seed, accuracies of "
        "all."
    )
    header = ["model", "parameters", "numbers in the file", "nonzero weights", "bits per weight"]
    header += [*(f"{name.replace('+', ' + ')}, bytes" for name in ARTIFACTS), "MACs", "test % [95 %]"]
    return [Table("Size", caption, header, [_make_row(model) for model in task.by_size])]


def _make_row(model: ModelResults) -> list[str]:
    return [
        model.name,
        _count(model.find("counts", "n_parameters")),
        _count(model.find("counts", "n_parameters", artifact="onnx")),
        _count(model.find("counts", "n_nonzero")),
        show(model.find("counts", "weight_bits"), lambda figure: f"{figure.value:.2f}"),
        *(_count(model.find("counts", "size_bytes", artifact=artifact)) for artifact in ARTIFACTS),
        render(model.find("counts", "macs")),
        _render_test(model),
    ]


def _count(figure: Figure | None) -> str:
    return show(figure, lambda found: format_count(found.value or 0))


def _render_test(model: ModelResults) -> str:
    accuracy = model.compute_accuracy()
    if accuracy is None:
        return MISSING
    mean, lo, hi = (format_percent(share) for share in (accuracy.mean, accuracy.lo, accuracy.hi))
    return f"{mean} [{lo}, {hi}]"
