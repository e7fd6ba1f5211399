"""Forecast of a run: the cells that it would do, why, and how long they took before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_versions
from dlmi_bench.records import Cell, Record
from dlmi_bench.suite.measures import MEASURES
from dlmi_bench.suite.plan import Step
from dlmi_bench.suite.suites import Suite

OWN = "dlmi-bench"  # its version decides nothing: its code does


@dataclass(frozen=True)
class PlannedStep:
    """A step of a run.

    Attributes:
        reasons: Why cells have to be done; those that are not in it are kept.
        estimated_s: Time that they took before [s]; None where that is not known.
        kept: What a run says of a step whose cells are all kept.
    """

    step: Step
    reasons: Mapping[Cell, str]
    estimated_s: float | None
    kept: str = "kept"


@dataclass(frozen=True)
class Forecast:
    """All steps of a run, in order."""

    steps: tuple[PlannedStep, ...]

    @property
    def n_kept(self) -> int:
        return sum(len(planned.step.cells) - len(planned.reasons) for planned in self.steps)

    @property
    def n_to_do(self) -> int:
        return sum(len(planned.reasons) for planned in self.steps)

    @property
    def n_unknown(self) -> int:
        """Cells to do that have no time in the store."""
        return sum(len(planned.reasons) for planned in self.steps if planned.estimated_s is None)

    @property
    def estimated_s(self) -> float | None:
        """Time of the cells that have one in the store [s]; None where none has."""
        known = [planned.estimated_s for planned in self.steps if planned.reasons and planned.estimated_s is not None]
        return sum(known) if known else None


def explain_change(record: Record, suite: Suite) -> str:
    """Say what has changed since a result was stored, as far as its record tells."""
    measure, then = MEASURES[record.cell.kind], record.provenance
    if measure.has_runtimes and then.get("machine_id") != compute_machine_id():
        return "measured on another machine"
    changes = [
        *_list_changes(then.get("versions"), {k: v for k, v in describe_versions().items() if k != OWN}),
        *_list_changes(then.get("suite"), suite.model_dump(mode="json", include={*measure.settings})),
    ]
    return f"changed: {', '.join(changes)}" if changes else "its code, its data or its trained file has changed"


def _list_changes(then: object, now: Mapping[str, object]) -> list[str]:
    before = then if isinstance(then, dict) else {}
    return [f"{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]


def estimate_time(cells: Iterable[Cell], stored: Iterable[Record], suite: Suite) -> float | None:
    """Estimate how long cells take [s], by cells of the same kind, task, model, settings and machine in the store.

    None where one of them has none.
    """
    found: dict[tuple[str, str, str], list[float]] = {}
    for record in stored:
        took_s, cell = record.provenance.get("took_s"), record.cell
        if isinstance(took_s, int | float) and _is_alike(record, suite):
            found.setdefault((cell.kind, cell.task, cell.model), []).append(took_s)
    times = [found.get((cell.kind, cell.task, cell.model)) for cell in cells]
    return sum(fmean(known) for known in times if known) if all(times) else None


def _is_alike(record: Record, suite: Suite) -> bool:
    """Tell whether a result comes from this machine and these settings."""
    if record.cell.kind not in MEASURES or record.provenance.get("machine_id") != compute_machine_id():
        return False
    settings = suite.model_dump(mode="json", include={*MEASURES[record.cell.kind].settings})
    return not _list_changes(record.provenance.get("suite"), settings)


def format_forecast(forecast: Forecast) -> str:
    """Write a line for each step, then the sums."""
    lines = [f"{planned.step.task}: {planned.step.title}: {_describe_step(planned)}" for planned in forecast.steps]
    unknown = f"not known for {forecast.n_unknown} of them" if forecast.n_unknown else ""
    known = f"about {_format_time(forecast.estimated_s)}" if forecast.estimated_s is not None else ""
    time = f"; time: {', '.join(filter(None, (known, unknown)))}" if forecast.n_to_do else ""
    return "\n".join([*lines, f"{forecast.n_to_do} cells to do, {forecast.n_kept} kept{time}"])


def _describe_step(planned: PlannedStep) -> str:
    if not planned.reasons:
        return planned.kept
    time = "" if planned.estimated_s is None else f" (about {_format_time(planned.estimated_s)})"
    return f"to do, {'; '.join(dict.fromkeys(planned.reasons.values()))}{time}"


def _format_time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(seconds, 1):.0f} s"
