"""Evidence for claims in a store: tables of right and wrong answers, costs, counts."""

from pathlib import Path

from dlmi_bench.errors import StoreError
from dlmi_bench.records import CellKind, Figure, Mark, Record
from dlmi_bench.store.artifacts import find_artifact
from dlmi_reports.claims.predicate import Conditions, OnTask
from dlmi_reports.results.answers import SPLITS, Answers, Examples, read_answers, read_metric
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.folds import OVERLAP
from dlmi_reports.results.load import Results
from dlmi_reports.results.marks import find_invalid
from dlmi_reports.results.model import ModelResults
from dlmi_reports.results.tuning import describe_tuning

# Claims name files by a word of their own: the figure, and the artifact that it is of.
SIZES = {"size_bytes": "onnx", "packed_bytes": "packed"}
CELLS: dict[str, CellKind] = {
    "latency_s": "latency",
    "inference_energy_j": "energy",
    "flash_bytes": "firmware",
    "ram_bytes": "firmware",
}


class Evidence:
    """Records and files of one store.

    Args:
        alpha: Level of the file of claims.
        n_seeds: Only the first of them, as at an earlier look; all by default.
    """

    def __init__(self, results: Results, alpha: float = 0.05, n_seeds: int | None = None) -> None:
        self._results = results
        self.alpha = alpha
        self._n_seeds = n_seeds

    def look_back(self, n_seeds: int) -> "Evidence":
        """Return the evidence that the first seeds gave."""
        return Evidence(self._results, self.alpha, n_seeds)

    def count_seeds(self, claim: OnTask) -> int:
        """Count the seeds that all models of the claim have; 0 where one was not trained."""
        found = [(self._results.tasks.get(task), model) for task, model in claim.list_arms()]
        return min(len(task.models[model].repeats) if task and model in task.models else 0 for task, model in found)

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
        return found.models[model].take(self._n_seeds)

    def name_kind(self, kind: str) -> str:
        """Name the kind of machine of a cost where the store has costs of several; empty where it has of one."""
        return kind if len(self._results.kinds) > 1 else ""

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

    def read_examples(self, claim: OnTask, metric: str, model: str = "") -> Examples:
        """Read the metric by seed and example, groups apart; raises as above."""
        return read_metric(self.find_model(claim, model), metric)

    def list_doubts(self, claim: OnTask) -> list[str]:
        """List what makes intervals of test accuracies too narrow, groups of images and folds, and unequal tuning."""
        metric, is_comparable = getattr(claim, "metric", ""), getattr(claim, "comparable_within", None) is not None
        tuned = self._compare_tuning(claim) if metric in SPLITS or is_comparable else []
        return [*self._list_dependences(claim), *tuned] if SPLITS.get(metric) == "test" or is_comparable else tuned

    def _compare_tuning(self, claim: OnTask) -> list[str]:
        """Say that the models' recipes had unequal budgets, or that nobody counted them."""
        models = self._results.tasks[claim.task].models
        names = [n for n in claim.list_population("model") if n in models and not models[n].is_reported]
        found = {name: describe_tuning(models[name]) for name in names}
        counts = {name: tuning.n_trials if tuning else None for name, (tuning, _) in found.items()}
        if len(set(counts.values())) > 1:
            said = [f"{name} {'not counted' if n is None else f'{n} trials'}" for name, n in counts.items()]
            return [f"unequal tuning: {', '.join(said)}"]
        uncounted = [name for name, n in counts.items() if n is None]
        return [f"tuning not counted for {', '.join(uncounted)}"] if len(names) > 1 and uncounted else []

    def _list_dependences(self, claim: OnTask) -> list[str]:
        """List what makes intervals of test accuracies too narrow: groups of images, and folds."""
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
            raise UnmeasuredError(f"{metric} of {results.name}: {note}", "fix that, then run again with --fresh")
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
        if metric in SIZES:
            figure = results.find("counts", "size_bytes", artifact=SIZES[metric])
        else:
            figure = results.find("counts", metric)
        if figure is None or figure.value is None:
            raise UnmeasuredError(f"no {metric} of {results.name}{f': {figure.reason}' if figure else ''}")
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
