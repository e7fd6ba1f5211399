"""The figures of a training: durations, energies, and when it reached the target."""

from collections.abc import Mapping

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import EnergySample
from dlmi_bench.instruments.energy_figures import make_energy_figures, make_target_figures
from dlmi_bench.records import UNTIMED, Figure, Mark, Note, unavailable
from dlmi_bench.units import format_share
from dlmi_tasks.spec import Task
from dlmi_tasks.training.loop import TrainingRun

BEFORE = {
    "pretraining_s": "the trunk was trained",
    "teaching_s": "teachers were trained and answered distorted training images",
}
SHARED = "on one thread, while other trainings ran; it enters no comparison"


def make_training_figures(
    run: TrainingRun,
    energy: EnergySample | MeasurementError,
    task: Task,
    before: Mapping[str, float | None],
    *,
    is_timed: bool = True,
) -> list[Figure]:
    """Make the figures of a training; one beside others has no duration but its own, `shared_training_s`.

    Args:
        before: Durations of what was done once, before the training of any seed; see `BEFORE`.
    """
    ended = f"{run.n_epochs} epochs" + (f", {run.training_s:.1f} s" if is_timed else "")
    energies = _describe_energy(energy, run, task)
    doubts = tuple(energy.complaints) if isinstance(energy, EnergySample) else ()
    figures = [*_describe_run(run, task, ended, doubts), *energies]
    for name, value in before.items():
        figures += [] if value is None else _make_before(name, value, energies[0], run)
    if is_timed:
        return figures
    untimed = [unavailable(f.name, UNTIMED) if f.name.endswith("_s") else f for f in figures]
    return [*untimed, make_duration("shared_training_s", run.training_s).model_copy(update={"method": SHARED})]


def list_limits(run: TrainingRun, task: Task) -> tuple[Note, ...]:
    """List why a training is shorter than its recipe says; every accuracy of its network carries it."""
    over = f"ended by the task's time limit of {task.time_limit_s:.0f} s after {run.n_epochs} epochs"
    return (Note(Mark.CUT, over),) if run.is_timed_out else ()


def make_duration(name: str, value: float) -> Figure:
    """Make a duration by the clock of the host [s]."""
    return Figure(name=name, value=value, kind="measured", source="perf_counter_ns")


def _make_before(name: str, value: float, energy: Figure, run: TrainingRun) -> list[Figure]:
    """Make the duration, and the energy that it takes at the power of the training."""
    method = f"{BEFORE[name]}, once and shared by all seeds; not part of training_s"
    duration = make_duration(name, value).model_copy(update={"method": method})
    energy_name = f"{name.removesuffix('_s')}_energy_j"
    if energy.value is None:
        return [duration, unavailable(energy_name, energy.reason)]
    power_w = energy.value / (run.training_s + run.evaluation_s)
    source, said = f"power of the training ({energy.source})", f"{name} x power of the training"
    return [duration, Figure(name=energy_name, value=power_w * value, kind="modelled", source=source, method=said)]


def _describe_energy(energy: EnergySample | MeasurementError, run: TrainingRun, task: Task) -> list[Figure]:
    """Make the energies of the whole training and until the target, or say why there are none."""
    name = "training_energy_j"
    if isinstance(energy, MeasurementError):
        asked = [{"component": "cpu", "idle_subtracted": is_net} for is_net in (False, True)]
        energies = [unavailable(name, energy.cause, **conditions) for conditions in asked]
    else:
        energies = make_energy_figures(name, energy)
    if task.target is None:
        return energies
    return [*energies, *make_target_figures(energies, run.time_to_target_s, run.training_s)]


def _describe_run(run: TrainingRun, task: Task, ended: str, doubts: tuple[Note, ...]) -> list[Figure]:
    def timed(name: str, value: float) -> Figure:
        notes = doubts if name.endswith("_s") else ()
        clock, conditions = "perf_counter_ns", {"threads": 1}
        return Figure(name=name, value=value, kind="measured", source=clock, conditions=conditions, notes=notes)

    limits = list_limits(run, task)
    figures = [
        timed("training_s", run.training_s),
        timed("evaluation_s", run.evaluation_s),
        Figure(name="n_epochs", value=run.n_epochs, kind="counted", source="training loop", notes=limits),
        Figure(name="n_samples", value=run.n_samples, kind="counted", source="training loop")
        if run.n_samples is not None
        else unavailable("n_samples", "fit reported none"),
    ]
    if task.target is None:
        return figures
    to_target = {
        "time_to_target_s": run.time_to_target_s,
        "epochs_to_target": run.epochs_to_target,
        "samples_to_target": run.samples_to_target,
    }
    goal = f"validation accuracy {format_share(task.target.validation_accuracy)}"
    stop = "time limit" if run.is_timed_out else "end of the recipe"
    for name, value in to_target.items():
        if value is None:
            reason = f"censored: {goal} not reached by the {stop} ({ended})"
            figures.append(unavailable(name, reason))
        else:
            figures.append(timed(name, value).model_copy(update={"method": f"first evaluation with {goal}"}))
    return figures
