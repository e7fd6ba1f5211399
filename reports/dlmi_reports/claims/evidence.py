"""Evidence for claims in a store: tables of right and wrong answers, costs, counts."""

from pathlib import Path

from dlmi_bench.errors import StoreError
from dlmi_bench.records import CellKind, Figure, Mark, Record
from dlmi_bench.store.artifacts import find_artifact
from dlmi_reports.claims.predicate import Conditions, OnTask
from dlmi_reports.results.answers import SPLITS, Answers, UnmeasuredError, read_answers
from dlmi_reports.results.folds import OVERLAP
from dlmi_reports.results.load import ModelResults, Results
from dlmi_reports.results.marks import find_invalid

CELLS: dict[str, CellKind] = {"latency_s": "latency", "inference_energy_j": "energy"}


class Evidence:
    """Records and files of one store; `alpha` is the level of the file of claims."""

    def __init__(self, results: Results, alpha: float = 0.05) -> None:
        self._results = results
        self.alpha = alpha

    def find_model(self, claim: OnTask, model: str = "", task: str = "") -> ModelResults:
        """Find the results of the claim's model, or of another model or task.

        Raises:
            UnmeasuredError: there are none, or the data is real where synthetic is asked for, or the reverse.
        """
        model, task = model or claim.model, task or claim.task
        found = self._results.tasks.get(task)
        if found is None or model not in found.models:
            raise UnmeasuredError(f"no run of {model} on {task}")
        if claim.data != "any" and found.is_synthetic != (claim.data == "synthetic"):
            has = "synthetic" if found.is_synthetic else "real"
            raise UnmeasuredError(f"the claim is about {claim.data} data, the store has {has} data of {task}")
        return found.models[model]

    def is_synthetic(self, task: str) -> bool:
        return task in self._results.tasks and self._results.tasks[task].is_synthetic

    def find_observer(self, task: str, observer: str) -> float:
        """Test accuracy of an observer of the task, for instance chance."""
        for record in self._results.records:
            figure = record.figure("test_accuracy", observer=observer)
            if record.cell.task == task and figure is not None and figure.value is not None:
                return figure.value
        raise UnmeasuredError(f"no figure of {observer} on {task}")

    def read_table(self, claim: OnTask, metric: str, model: str = "", task: str = "") -> Answers:
        """Read the metric by seed and example; the mean of the table is the figure that the report shows.

        Raises:
            UnmeasuredError: fewer than two seeds, or a store that keeps no labels.
            StoreError: a file is damaged.
        """
        return read_answers(self.find_model(claim, model, task), metric)

    def list_doubts(self, claim: OnTask) -> list[str]:
        """List what makes intervals of test accuracies too narrow: groups of images, and folds."""
        is_tested = SPLITS.get(getattr(claim, "metric", "")) == "test"
        if not is_tested and getattr(claim, "comparable_within", None) is None:
            return []
        task = self._results.tasks[claim.task]
        accuracy = next((r.figure("test_accuracy") for r in self.find_model(claim).trainings), None)
        said = [note.text for note in (accuracy.notes if accuracy else ()) if note.mark is Mark.CLUSTERED]
        return said + ([OVERLAP] if task.provenance.folds else [])

    def find_figure(self, claim: Conditions, metric: str, model: str = "") -> tuple[Figure, Record]:
        """Find a figure of a measured cell under the claim's conditions, with its record."""
        results = self.find_model(claim, model)
        record = results.measured.get(CELLS[metric])
        figure = next((f for f in record.figures if f.name == metric and _fits(f, claim)), None) if record else None
        if record is None or figure is None or figure.value is None:
            why = f": {figure.reason}" if figure is not None else ""
            where = ", ".join(f"{name} {value}" for name, value in claim.list_conditions().items())
            raise UnmeasuredError(f"no {metric} of {results.name} ({where}){why}")
        if note := find_invalid(figure):
            raise UnmeasuredError(
                f"{metric} of {results.name}: {note}", "fix that, then run again with --fresh latency energy"
            )
        return figure, record

    def find_artifact(self, claim: OnTask, role: str) -> Path:
        results = self.find_model(claim)
        if not results.trainings:
            raise UnmeasuredError(f"no training of {results.name}")
        try:
            return find_artifact(results.folder, results.trainings[0].artifact(role))
        except StoreError as error:
            raise UnmeasuredError(error.cause, error.remedy) from error

    def find_count(self, claim: OnTask, metric: str, model: str) -> float:
        """An exact count of the model."""
        results = self.find_model(claim, model)
        conditions = {"artifact": "onnx"} if metric == "size_bytes" else {}
        figure = results.find("counts", metric, **conditions)
        if figure is None or figure.value is None:
            raise UnmeasuredError(f"no {metric} of {results.name}")
        return figure.value

    def find_of_task(self, task: str, name: str) -> Figure:
        """Find a figure, with samples, that belongs to a task rather than to a model."""
        for record in self._results.records:
            figure = record.figure(name)
            if record.cell.task == task and figure is not None and figure.samples:
                return figure
        raise UnmeasuredError(f"no {name} of {task}")


def _fits(figure: Figure, claim: Conditions) -> bool:
    """Compare the figure's conditions with the claim's; a figure that names no device is the processor's."""
    have = {"device": "cpu", "component": "cpu"} | figure.conditions
    want = claim.list_conditions() | {"component": "cpu"}
    return all(have.get(name) == value for name, value in want.items())
