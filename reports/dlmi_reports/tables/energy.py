"""Tables of energy: by source, gross and net, and the break-even of trainings."""

from statistics import fmean, median

from dlmi_bench.records import Figure, list_marks
from dlmi_bench.units import format_count, format_quantity
from dlmi_reports.results.costs import find_energy, find_training_energies, list_meters
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.machines import NOT_COMPARABLE
from dlmi_reports.results.marks import add_marks
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING, name_columns, name_side, name_title, show

OF = {
    "training_energy_j": "one training, first seed",
    "energy_to_target_j": "the same, until the target",
    "inference_energy_j": "1 000 inferences",
}
N_INFERENCES = 1000


def make_energy_tables(task: TaskResults) -> list[Table]:
    """Tables of energy by source and of break-even."""
    return [make_source_table(task), *make_break_even_tables(task)]


def make_source_table(task: TaskResults) -> Table:
    """Joules by component, each with its source; measured and modelled joules are never added."""
    rows = []
    for model in task.list_sides("train", "energy"):
        record, first = model.measured.get("energy"), model.select("training_energy_j")[:1]
        figures = [f for r in (*first, *([record] if record else [])) for f in r.figures if f.name in OF]
        for gross in figures:
            if gross.conditions.get("idle_subtracted") is True:
                continue
            net = _find_net(figures, gross)
            component = str(gross.conditions.get("component", ""))
            how = (net if net and net.value is not None else gross).method
            how = how.partition("; ")[0] if gross.kind == "derived" else how
            scope = str(gross.conditions.get("scope", ""))
            cells = [_render(gross), _render(net), gross.kind, gross.source, scope, how]
            of = OF[gross.name]
            if model.kind and first:
                of = of.replace("first seed", f"run {first[0].cell.seed_index + 1}")
            rows.append([*name_side(task, model), of, component, *cells])
    header = [*name_columns(task), "of", "component", "gross", "net", "kind", "source", "scope", "how"]
    caption = (
        "Net energy excludes what the idle machine draws in the same time. The scope says whose energy the meter "
        "counts. Modelled energy is time multiplied by a constant or a load curve: it adds nothing to the durations, "
        "and is excluded from rankings. Energy until the target is the training's, in proportion to the time."
    )
    return Table("Energy by source", caption, header, rows)


def make_break_even_tables(task: TaskResults) -> list[Table]:
    """Make a table for each kind of machine on which two models were trained and timed.

    Models that share none with any other are named in one more; empty with fewer than two models.
    """
    found = [(view, table) for view in task.by_kind if (table := _make_break_even_table(view))]
    compared = {model.name for view, _ in found for model in _list_known(view)}
    known = _list_known(task)
    rows = [[model.name, NOT_COMPARABLE] for model in known if model.name not in compared] if len(known) > 1 else []
    caption = "A training and an inference are added up, and compared, on one kind of machine alone."
    apart = [Table("Break-even of training", caption, ["model", "break-even"], rows)] if rows else []
    return [*(table for _, table in found), *apart]


def _list_known(task: TaskResults) -> list[ModelResults]:
    return [model for model in task.by_size if _find_costs(model, "time")]


def _make_break_even_table(task: TaskResults) -> Table | None:
    """Count the inferences after which each model has cost less than the reference, by default the largest."""
    known = _list_known(task)
    if len(known) < 2:
        return None
    chosen = next((model for model in known if model.name == task.chosen_reference), known[-1])
    rows = []
    for model in known:
        if model is not chosen:
            cells = [_render_break_even(model, chosen, basis) for basis in ("time", "gross", "net")]
            costs = _find_costs(model, "time")
            assert costs is not None
            rows.append([model.name, *(format_quantity(cost, "s") for cost in costs), *cells])
    header = ["model", "training", "one inference", "in time, measured", "in energy, gross", "in energy, net"]
    caption = (
        f"Number of single inferences (ONNX Runtime, batch 1) after which a model has cost less than {chosen.name}, "
        "training included. Energy is that of the processor; modelled energy adds nothing to the time. Tuning, "
        "pretraining and discarded trainings are not counted."
    )
    outside = ", ".join(model.name for model in task.by_size if model.is_from_elsewhere)
    notes = [f"Without a break-even, because they were trained elsewhere: {outside}."] if outside else []
    title = name_title(f"Break-even of training, compared with {chosen.name}", task)
    return Table(title, caption, header, rows, notes)


def compute_break_even(train: float, use: float, reference_train: float, reference_use: float) -> tuple[str, float]:
    """Compute the number of uses after which one thing has cost less than the other, training included.

    Args:
        train, reference_train: Cost of making them, in any unit.
        use, reference_use: Cost of each use, in the same unit.

    Returns:
        `always` with 0, `after` n uses, `until` n uses (cheaper to make, dearer to use), or `never` with inf.
    """
    if train <= reference_train and use <= reference_use:
        is_cheaper = train < reference_train or use < reference_use
        return ("always", 0.0) if is_cheaper else ("never", float("inf"))
    if train >= reference_train and use >= reference_use:
        return "never", float("inf")
    n_uses = (train - reference_train) / (reference_use - use)
    return ("after", n_uses) if use < reference_use else ("until", n_uses)


def _render_break_even(model: ModelResults, reference: ModelResults, basis: str) -> str:
    mine, others = _find_costs(model, basis), _find_costs(reference, basis)
    if mine is None or others is None:
        return MISSING
    figures = _list_figures(model, reference, basis=basis)
    meters = [] if basis == "time" else list_meters(figures)
    if len(meters) > 1:
        return f"not comparable: different meters ({'; '.join(meters)})"
    if min(*mine, *others) <= 0:
        return "not comparable: a cost is not above that of the idle machine"
    when, n_uses = compute_break_even(*mine, *others)
    words = {"always": "from the first inference", "never": "never"}
    text = words.get(when) or f"{when} {format_count(float(f'{n_uses:.2g}'))} inferences"
    said = [*meters, *list_marks(*figures)]
    return f"{text} ({', '.join(said)})" if said else text


def _find_costs(model: ModelResults, basis: str) -> tuple[float, float] | None:
    """Find the cost of one training (median or mean over seeds) and of one inference [s, or J of the processor]."""
    if basis == "time":
        latency, times = model.find_latency(), model.values("training_s")
        return (median(times), latency.value) if times and latency and latency.value is not None else None
    trainings, use = find_training_energies(model, is_net=basis == "net"), find_energy(model, is_net=basis == "net")
    joules = [figure.value for figure in trainings if figure.value is not None]
    return (fmean(joules), use.value / N_INFERENCES) if joules and use and use.value is not None else None


def _list_figures(*models: ModelResults, basis: str) -> list[Figure]:
    """List the figures of a break-even: latencies, or the joules of every training and of the inferences."""
    if basis == "time":
        return [figure for model in models if (figure := model.find_latency())]
    is_net = basis == "net"
    trainings = [figure for model in models for figure in find_training_energies(model, is_net=is_net)]
    uses = [figure for model in models if (figure := find_energy(model, is_net=is_net))]
    return [*trainings, *uses]


def _find_net(figures: list[Figure], gross: Figure) -> Figure | None:
    conditions = gross.conditions | {"idle_subtracted": True}
    return next((f for f in figures if f.name == gross.name and f.conditions == conditions), None)


def _render(figure: Figure | None) -> str:
    return show(figure, lambda f: add_marks(format_quantity(f.value or 0.0, "j"), f))
