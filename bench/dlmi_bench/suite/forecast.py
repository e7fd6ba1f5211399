"""Forecast of a run: the cells that it would do, why, and about how long they take."""

from collections.abc import Mapping
from dataclasses import dataclass

from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_versions
from dlmi_bench.records import Cell, Record
from dlmi_bench.suite.measures import MEASURES
from dlmi_bench.suite.pace import list_changes
from dlmi_bench.suite.plan import Step
from dlmi_bench.suite.suites import Suite
from dlmi_bench.units import format_left

OWN = "dlmi-bench"  # its version decides nothing: its code does


@dataclass(frozen=True)
class PlannedStep:
    """A step of a run.

    Attributes:
        reasons: Why cells have to be done; those that are not in it are kept.
        estimated_s: Time that they take [s].
        n_rough: Those of them that were never timed, so that typical times stand for theirs.
        kept: What a run says of a step whose cells are all kept.
    """

    step: Step
    reasons: Mapping[Cell, str]
    estimated_s: float
    n_rough: int = 0
    kept: str = "kept"


@dataclass(frozen=True)
class Forecast:
    """All steps of a run, in order.

    Attributes:
        estimated_bytes: Disk that the files of the cells to do take; None where none of their kind is stored.
    """

    steps: tuple[PlannedStep, ...]
    estimated_bytes: int | None = None

    @property
    def n_kept(self) -> int:
        return sum(len(planned.step.cells) - len(planned.reasons) for planned in self.steps)

    @property
    def n_to_do(self) -> int:
        return sum(len(planned.reasons) for planned in self.steps)

    @property
    def n_unknown(self) -> int:
        """Cells to do that have no time in the store."""
        return sum(planned.n_rough for planned in self.steps)

    @property
    def estimated_s(self) -> float:
        """Time of the cells to do [s], rough where `n_unknown` is not 0."""
        return sum(planned.estimated_s for planned in self.steps)


def explain_change(record: Record, suite: Suite) -> str:
    """Say what has changed since a result was stored, as far as its record tells."""
    measure, then = MEASURES[record.cell.kind], record.provenance
    if measure.has_runtimes and then.get("machine_id") != compute_machine_id():
        return "measured on another machine"
    changes = [
        *list_changes(then.get("versions"), {k: v for k, v in describe_versions().items() if k != OWN}),
        *list_changes(then.get("suite"), suite.model_dump(mode="json", include={*measure.settings})),
    ]
    return f"changed: {', '.join(changes)}" if changes else "its code, its data or its trained file has changed"


def restore_settings(record: Record, suite: Suite) -> Suite:
    """The suite with the settings by which a result was made."""
    then = record.provenance.get("suite")
    known = then if isinstance(then, dict) else {}
    return suite.model_copy(update={n: known[n] for n in MEASURES[record.cell.kind].settings if n in known})


def format_forecast(forecast: Forecast) -> str:
    """Write a line for each step, then the sums."""
    lines = [f"{planned.step.task}: {planned.step.title}: {_describe_step(planned)}" for planned in forecast.steps]
    rough = f", rough for {forecast.n_unknown} of them" if forecast.n_unknown else ""
    time = f"; time: about {format_left(forecast.estimated_s)}{rough}" if forecast.n_to_do else ""
    return "\n".join([*lines, f"{forecast.n_to_do} cells to do, {forecast.n_kept} kept{time}"])


def _describe_step(planned: PlannedStep) -> str:
    if not planned.reasons:
        return planned.kept
    about = "roughly" if planned.n_rough else "about"
    why = "; ".join(dict.fromkeys(planned.reasons.values()))
    return f"to do, {why} ({about} {format_left(planned.estimated_s)})"
