"""Tables of accuracy, inference, training and seeds. Every format shows exactly these cells."""

from collections import Counter
from collections.abc import Callable
from statistics import fmean

from dlmi_bench.records import Figure, Note, Record, list_marks
from dlmi_bench.units import format_count, format_percent, format_quantity, format_share
from dlmi_reports.results.costs import find_energy, find_training_energies, list_meters
from dlmi_reports.results.load import ModelResults, TaskResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import (
    MISSING,
    render,
    render_count,
    render_energy,
    render_fraction,
    render_latency,
    render_reach,
    render_seed_sd,
    render_spread,
)

Column = tuple[str, Callable[[ModelResults], str]]


def make_tables(task: TaskResults) -> list[Table]:
    """Main tables of one task."""
    return [
        make_accuracy_table(task),
        make_inference_table(task),
        make_training_table(task),
        make_seed_table(task),
    ]


def _make_table(title: str, caption: str, task: TaskResults, columns: list[Column]) -> Table:
    rows = [[model.name, *(write(model) for _, write in columns)] for model in task.by_size]
    return Table(title, caption, ["model", *(name for name, _ in columns)], rows)


def make_accuracy_table(task: TaskResults) -> Table:
    target = task.provenance.target
    goal = format_percent(target.validation_accuracy or 0, 0)
    n = next((a.n for m in task.models.values() if (a := m.compute_accuracy())), 0)
    table = _make_table(
        "Accuracy",
        f"Test accuracy of the exported ONNX file: mean and standard deviation (sd) over all launched seeds. Brackets "
        f"hold Wilson 95 % intervals, of the accuracy on {n} test examples and of the share of seeds that reached the "
        "target. The gap is validation minus test accuracy.",
        task,
        [
            ("parameters", lambda m: render_count(m.find("counts", "n_parameters"))),
            ("test %", lambda m: _render_accuracy(m, "test_accuracy")),
            ("95 % interval", _render_wilson),
            ("seed sd", render_seed_sd),
            ("validation %", lambda m: _render_accuracy(m, "validation_accuracy")),
            ("gap, points", _render_gap),
            (f"reached {goal} % validation", render_reach),
        ],
    )
    if published := target.test_accuracy_published:
        table.notes.append(f"Published test accuracy: {format_share(published, 1)} ({target.source}).")
    return table


def make_inference_table(task: TaskResults) -> Table:
    return _make_table(
        "Cost of inference",
        "Latency of one call on one thread: median over fresh processes of the median over rounds. Brackets hold the "
        "smallest and largest process median. Memory is what the model adds to a process that has loaded its runtime. "
        "Energy is per 1 000 single inferences, processor only; net excludes what the idle machine draws.",
        task,
        [
            ("MACs", lambda m: render(m.find("counts", "macs"))),
            ("ONNX file", lambda m: render(m.find("counts", "size_bytes", artifact="onnx"))),
            ("added memory", lambda m: render(m.find("memory", "peak_added_bytes", backend="onnxruntime"))),
            ("ONNX Runtime, batch 1", lambda m: _render_latency(m, "onnxruntime", 1)),
            ("ONNX Runtime, batch 64", lambda m: _render_latency(m, "onnxruntime", 64)),
            ("torch eager, batch 1", lambda m: _render_latency(m, "eager", 1)),
            ("torch eager, batch 64", lambda m: _render_latency(m, "eager", 64)),
            ("energy, gross", lambda m: render_energy(find_energy(m, is_net=False))),
            ("energy, net", lambda m: render_energy(find_energy(m, is_net=True))),
        ],
    )


def make_training_table(task: TaskResults) -> Table:
    return _make_table(
        "Cost of training",
        "One thread; evaluation is not timed. Median over seeds; brackets hold the smallest and largest. Time to "
        "target is the Kaplan-Meier median: runs that did not reach the target are censored. Energy is the mean of one "
        "training with its evaluations, processor only.",
        task,
        [
            ("training", lambda m: render_spread(m, "training_s")),
            ("time to target", _render_time_to_target),
            ("epochs to target", lambda m: render_spread(m, "epochs_to_target")),
            ("samples to target", lambda m: render_spread(m, "samples_to_target")),
            ("evaluation", lambda m: render_spread(m, "evaluation_s")),
            ("energy, gross", lambda m: _render_training_energy(m, is_net=False)),
            ("energy, net", lambda m: _render_training_energy(m, is_net=True)),
        ],
    )


def make_seed_table(task: TaskResults) -> Table:
    """List every training, without exception."""
    rows = []
    for record in task.trainings:
        test, validation = record.figure("test_accuracy"), record.figure("validation_accuracy")
        epochs, reads = record.figure("epochs_to_target"), list_test_reads(record)
        rows.append(
            [
                record.cell.model,
                str(record.cell.seed_index + 1),
                str(record.cell.seed),
                render_fraction(validation),
                render_fraction(test),
                render_count(epochs) if epochs and epochs.value is not None else "censored",
                render(record.figure("training_s")),
                format_count(max(reads)) if reads else MISSING,
                record.artifact("onnx").sha256[:12],
            ]
        )
    header = ["model", "run", "seed", "validation %", "test %", "epochs to target", "training", "test reads", "file"]
    caption = "One row per training. Test reads: the maximum over its files. File: the first digits of its sha256."
    return Table("Every seed", caption, header, rows)


def list_test_reads(record: Record) -> list[float]:
    """List how often the test split was read for each artifact of a training."""
    return [figure.value for figure in record.figures if figure.name == "n_test_reads" and figure.value is not None]


def list_notes(task: TaskResults) -> list[str]:
    """List each note of the instruments once, with its models; of several trainings, those on the first."""
    found: dict[str, list[str]] = {}
    for model in task.models.values():
        said: dict[tuple[str, Note], list[str]] = {}
        for record in (*model.trainings[:1], *model.measured.values()):
            for figure in record.figures:
                for note in figure.notes:
                    said.setdefault((_say_where(figure), note), []).append(figure.name)
        for (where, note), names in said.items():
            found.setdefault(f"{', '.join(dict.fromkeys(names))}{where}: {note}", []).append(model.name)
    return [f"{', '.join(names)}: {note}" for note, names in found.items()]


def _say_where(figure: Figure) -> str:
    batch = f" at batch {figure.conditions['batch']}" if "batch" in figure.conditions else ""
    return "".join(f" {figure.conditions[k]}" for k in ("backend", "component") if k in figure.conditions) + batch


def _render_latency(model: ModelResults, backend: str, batch: int) -> str:
    return render_latency(model.find("latency", "latency_s", backend=backend, batch=batch, threads=1))


def _render_accuracy(model: ModelResults, name: str) -> str:
    accuracy = model.compute_accuracy(name)
    return format_percent(accuracy.mean) if accuracy else MISSING


def _render_wilson(model: ModelResults) -> str:
    accuracy = model.compute_accuracy()
    return f"[{format_percent(accuracy.lo)}, {format_percent(accuracy.hi)}]" if accuracy else MISSING


def _render_gap(model: ModelResults) -> str:
    validation, test = model.compute_accuracy("validation_accuracy"), model.compute_accuracy()
    return format_percent(validation.mean - test.mean) if validation and test else MISSING


def _render_time_to_target(model: ModelResults) -> str:
    reach = model.compute_reach()
    if not reach.n_runs:
        return MISSING
    if reach.survival.median is None:
        return f"not reached by half ({reach.n_reached} of {reach.n_runs})"
    return format_quantity(reach.survival.median, "s")


def _render_training_energy(model: ModelResults, *, is_net: bool) -> str:
    figures = find_training_energies(model, is_net=is_net)
    known = [figure for figure in figures if figure.value is not None]
    if not known:
        return render(next(iter(figures), None))
    meters = list_meters(known)
    if len(meters) > 1:
        return f"no mean: different meters ({'; '.join(meters)})"
    mean_j = fmean(figure.value for figure in known if figure.value is not None)
    marks = Counter(mark for figure in known for mark in list_marks(figure))
    said = (f"({mark} in {n} of {len(known)})" for mark, n in marks.items())
    return " ".join([render_energy(known[0].model_copy(update={"value": mean_j, "notes": ()})), *said])
