"""Tables of accuracy, inference, training and seeds. Every format shows exactly these cells."""

from collections import Counter
from collections.abc import Callable
from statistics import fmean, median

from dlmi_bench.records import CellKind, Figure, Note, Record, list_marks
from dlmi_bench.units import format_count, format_percent, format_quantity, format_share
from dlmi_reports.results.compact import list_noted, list_values
from dlmi_reports.results.costs import find_energy, find_training_energies, list_meters
from dlmi_reports.results.folds import read_folds
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.machines import MEASURED, find_kind
from dlmi_reports.results.marks import add_marks
from dlmi_reports.results.model import ModelResults
from dlmi_reports.results.tuning import describe_tuning
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import (
    ELSEWHERE,
    MACHINE,
    MISSING,
    NO_TARGET,
    name_columns,
    name_side,
    render,
    render_count,
    render_energy,
    render_fraction,
    render_latency,
    render_reach,
    render_seed_sd,
    render_spread,
    render_untimed,
)

Column = tuple[str, Callable[[ModelResults], str]]


def make_tables(task: TaskResults) -> list[Table]:
    """Make the main tables of one task."""
    return [make_accuracy_table(task), make_inference_table(task)]


def make_training_tables(task: TaskResults) -> list[Table]:
    """Make the tables of what trainings cost, and of every one of them."""
    return [make_training_table(task), make_seed_table(task)]


def _make_table(title: str, caption: str, task: TaskResults, columns: list[Column]) -> Table:
    rows = [[model.name, *(write(model) for _, write in columns)] for model in task.by_size]
    return Table(title, caption, ["model", *(name for name, _ in columns)], rows)


def _make_cost_table(title: str, caption: str, task: TaskResults, columns: list[Column], *cells: CellKind) -> Table:
    """Make a row for each model and kind of machine on which those cells have costs."""
    sides = task.list_sides(*cells)
    rows = [[*name_side(task, model), *(write(model) for _, write in columns)] for model in sides]
    return Table(title, caption, [*name_columns(task), *(name for name, _ in columns)], rows)


def make_accuracy_table(task: TaskResults) -> Table:
    target, goal = task.provenance.target, task.provenance.goal
    n = next((a.n for m in task.models.values() if (a := m.compute_accuracy())), 0)
    over = "complete repeats of the folds" if task.provenance.folds else "all launched seeds"
    reach = [] if goal is None else [(f"reached {format_percent(goal, 0)} % validation", render_reach)]
    share = " and of the share of seeds that reached the target" if reach else ""
    table = _make_table(
        "Accuracy",
        f"Test accuracy of the exported ONNX file: mean and standard deviation (sd) over {over}. Brackets hold Wilson "
        f"95 % intervals, of the accuracy on {n} test examples{share}. The gap is validation minus test accuracy.",
        task,
        [
            ("parameters", lambda m: render_count(m.find("counts", "n_parameters"))),
            ("test %", _render_test),
            ("95 % interval", _render_wilson),
            ("repeat sd" if task.provenance.folds else "seed sd", render_seed_sd),
            ("validation %", lambda m: _render_accuracy(m, "validation_accuracy")),
            ("gap, points", _render_gap),
            *reach,
        ],
    )
    if target and (published := target.test_accuracy_published):
        table.notes.append(f"Published test accuracy: {format_share(published, 1)} ({target.source}).")
    return table


def make_inference_table(task: TaskResults) -> Table:
    return _make_cost_table(
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
        *MEASURED,
    )


def make_training_table(task: TaskResults) -> Table:
    to_target: list[Column] = [
        ("time to target", _render_time_to_target),
        ("epochs to target", lambda m: render_spread(m, "epochs_to_target")),
        ("samples to target", lambda m: render_spread(m, "samples_to_target")),
    ]
    has_goal = task.provenance.goal is not None
    target = (
        "is the Kaplan-Meier median: runs that did not reach the target are censored" if has_goal else f"is {NO_TARGET}"
    )
    table = _make_cost_table(
        "Cost of training",
        "One thread; evaluation is not timed. Median over seeds; brackets hold the smallest and largest. Time to "
        f"target {target}. Energy is the mean of one training with its evaluations, processor only. Energy spent "
        "before is modelled: its time at the power of the training.",
        task,
        [
            ("training", lambda m: render_spread(m, "training_s")),
            *(to_target if has_goal else []),
            ("evaluation", lambda m: render_spread(m, "evaluation_s")),
            ("energy, gross", lambda m: _render_training_energy(m, is_net=False)),
            ("energy, net", lambda m: _render_training_energy(m, is_net=True)),
            *_list_before(task),
        ],
        "train",
    )
    if len(task.kinds) > 1:
        table.notes.append("Epochs and samples to the target are those of all trainings, on whatever machine.")
    counts = [(model.name, len(model.trainings) - len(model.timed), len(model.trainings)) for model in task.by_size]
    if said := ", ".join(f"{name} {n_beside} of {n}" for name, n_beside, n in counts if n_beside):
        table.notes.append(f"Trained beside others, so in no time or energy: {said}.")
    return table


def _list_before(task: TaskResults) -> list[Column]:
    """What was spent before the trainings: on teachers and trunks, and on the search of the recipe; where it was."""
    columns: list[Column] = [("once, before", _render_before), ("search of recipe", _render_search)]
    return [column for column in columns if any(column[1](m) != MISSING for m in task.list_sides("train"))]


def _render_before(model: ModelResults) -> str:
    spent = [(model.values(f"{what}_s"), model.values(f"{what}_energy_j")) for what in ("pretraining", "teaching")]
    said = [
        format_quantity(median(s), "s") + (f", {format_quantity(median(j), 'j')} (modelled)" if j else "")
        for s, j in spent
        if s
    ]
    return " + ".join(said) or MISSING


def _render_search(model: ModelResults) -> str:
    tuning, _ = describe_tuning(model)
    if not tuning:
        return MISSING
    if model.kind and not model.trials:
        return "n/a (machine not recorded)"
    power_w = _find_power(model)
    energy = f", {format_quantity(power_w * tuning.tuning_s, 'j')} (modelled)" if power_w else ""
    return f"{format_quantity(tuning.tuning_s, 's')}{energy}, {tuning.n_trials} trials"


def _find_power(model: ModelResults) -> float | None:
    """Mean power of a training with its evaluations [W]; None without an energy, or with those of two meters."""
    figures = [figure for figure in find_training_energies(model, is_net=False) if figure.value is not None]
    spent = [model.values("training_s"), model.values("evaluation_s")]
    if len(list_meters(figures)) != 1 or not all(spent):
        return None
    return fmean(figure.value for figure in figures if figure.value is not None) / sum(map(median, spent))


def make_seed_table(task: TaskResults) -> Table:
    """List every training, without exception."""
    columns: dict[str, Callable[[Record], str]] = {
        "model": lambda r: r.cell.model,
        "run": _render_run,
        "seed": lambda r: str(r.cell.seed),
        "validation %": lambda r: render_fraction(r.figure("validation_accuracy")),
        "test %": lambda r: render_fraction(r.figure("test_accuracy")),
        "epochs to target": _render_epochs,
        "training": lambda r: render(r.figure("training_s")),
        "test reads": lambda r: format_count(max(reads)) if (reads := list_test_reads(r)) else MISSING,
        "file": lambda r: next((a.sha256[:12] for a in r.artifacts if a.role == "onnx"), MISSING),
    }
    if task.provenance.goal is None:
        del columns["epochs to target"]
    if len(task.kinds) > 1:
        columns[MACHINE] = lambda r: find_kind(r) or MISSING
    rows = [[write(record) for write in columns.values()] for record in task.trainings]
    caption = "One row per training. Test reads: the maximum over its files. File: the first digits of its sha256."
    return Table("Every seed", caption, list(columns), rows)


def _render_run(record: Record) -> str:
    folds = read_folds(record)
    return f"repeat {folds.repeat + 1}, fold {folds.fold + 1}" if folds else str(record.cell.seed_index + 1)


def _render_epochs(record: Record) -> str:
    epochs = record.figure("epochs_to_target")
    if epochs is None or epochs.value is not None:
        return render_count(epochs)
    return epochs.reason.partition(":")[0]  # "censored", without the details


def list_test_reads(record: Record) -> list[float]:
    """List how often the test split was read for each artifact of a training."""
    return list_values(record, "n_test_reads")


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


def _render_test(model: ModelResults) -> str:
    """Write the test accuracy with its marks; where the model was not trained here, that too."""
    share = add_marks(_render_accuracy(model, "test_accuracy"), *list_noted(model.trainings, "test_accuracy"))
    return f"{share} ({ELSEWHERE})" if model.is_from_elsewhere else share


def _render_wilson(model: ModelResults) -> str:
    accuracy = model.compute_accuracy()
    return f"[{format_percent(accuracy.lo)}, {format_percent(accuracy.hi)}]" if accuracy else MISSING


def _render_gap(model: ModelResults) -> str:
    validation, test = model.compute_accuracy("validation_accuracy"), model.compute_accuracy()
    return format_percent(validation.mean - test.mean) if validation and test else MISSING


def _render_time_to_target(model: ModelResults) -> str:
    pairs, median_s = model.list_times_to_target(), model.compute_reach().survival.median
    if not pairs:
        return render_untimed(model)
    if median_s is None:
        return f"not reached by half ({sum(is_hit for _, is_hit in pairs)} of {len(pairs)})"
    return format_quantity(median_s, "s")


def _render_training_energy(model: ModelResults, *, is_net: bool) -> str:
    figures = find_training_energies(model, is_net=is_net)
    known = [figure for figure in figures if figure.value is not None]
    if not known:
        return ELSEWHERE if model.is_from_elsewhere else render(next(iter(figures), None))
    meters = list_meters(known)
    if len(meters) > 1:
        return f"no mean: different meters ({'; '.join(meters)})"
    mean_j = fmean(figure.value for figure in known if figure.value is not None)
    marks = Counter(mark for figure in known for mark in list_marks(figure))
    said = (f"({mark} in {n} of {len(known)})" for mark, n in marks.items())
    return " ".join([render_energy(known[0].model_copy(update={"value": mean_j, "notes": ()})), *said])
