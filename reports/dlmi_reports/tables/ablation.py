"""Ways of preparing the data of one task, compared in signal, training and accuracy."""

from dlmi_bench.records import ARM, DISGUISE
from dlmi_bench.stats.intervals import compute_sd
from dlmi_bench.units import format_number, format_percent
from dlmi_reports.results.compact import find_detail
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING, render_reach, render_seed_sd
from dlmi_reports.tables.differences import compute_accuracy_difference, format_points

HEADER = [
    "model",
    "prepared",
    "test %",
    "difference to {base}",
    "seed sd",
    "reached the target",
    "loss sd",
    "SNR",
    "pooled SNR",
]
CAPTION = (
    "Test accuracy is the mean over seeds. Brackets hold 95 % intervals: of the difference to {base} in points, paired "
    "over seeds and examples; of the share of trainings that reached the target. The standard deviations (sd) of the "
    "accuracy and of the last validation loss are over seeds. SNR is the striatal contrast divided by the noise of the "
    "training images: the median over single images, and pooled over all images."
)


def make_ablation_table(tasks: dict[str, TaskResults], name: str) -> Table | None:
    """Compare every model of the task `name` that was also trained on an arm of it; None if there is no arm."""
    base = tasks[name]
    ways = [task for other, task in tasks.items() if other.partition(ARM)[0] == name and DISGUISE not in other]
    rows = [
        [model.name, way.name, *_describe(way.models[key], model, way)]
        for key, model in base.models.items()
        if any(key in way.models for way in ways if way is not base)
        for way in ways
        if key in way.models
    ]
    if not rows:
        return None
    header = [word.format(base=base.name) for word in HEADER]
    label = "Synthetic data. " if base.is_synthetic else ""
    return Table(f"Ways of preparing {base.name}", label + CAPTION.format(base=base.name), header, rows)


def _describe(model: ModelResults, control: ModelResults, way: TaskResults) -> list[str]:
    accuracy = model.compute_accuracy()
    return [
        format_percent(accuracy.mean) if accuracy else MISSING,
        "-" if model is control else format_points(compute_accuracy_difference(model, control)),
        render_seed_sd(model),
        render_reach(model),
        _render_loss_sd(model),
        *(_render_signal(way, name) for name in ("image_snr", "pooled_snr")),
    ]


def _render_loss_sd(model: ModelResults) -> str:
    curves = [curve for record in model.trainings if (curve := find_detail(record, "curve"))]
    sd = compute_sd([loss for curve in curves if (loss := curve[-1].get("validation_loss")) is not None])
    return MISSING if sd is None else format_number(sd)


def _render_signal(way: TaskResults, name: str) -> str:
    figure = way.observers.figure(name) if way.observers else None
    return MISSING if figure is None or figure.value is None else format_number(figure.value)
