"""Facts of a task's records that answer items of checklists; one that the records do not hold is None."""

from collections.abc import Callable
from typing import NamedTuple

from dlmi_bench.records import ARM, Record
from dlmi_bench.units import format_count, format_percent
from dlmi_reports.claims.verdicts import Verdicts
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.results.provenance import Provenance
from dlmi_reports.tables.splits import list_folds, list_splits

CLAIMS = "Claims"  # the section; others are titles of tables
N_REASONS = 3
UNITS = {"test_accuracy": "accuracy", "test_auc": "area under the ROC curve", "test_ece": "calibration error"}


class Fact(NamedTuple):
    """An answer, and the title of the table or section that shows it; empty for the lead of the task."""

    text: str
    where: str = ""


class Source(NamedTuple):
    """What facts are taken from."""

    task: TaskResults
    results: Results
    verdicts: Verdicts

    @property
    def origin(self) -> Provenance:
        return self.task.provenance

    @property
    def first(self) -> Record | None:
        return next(self.task.trainings, None)

    @property
    def models(self) -> list[ModelResults]:
        return [model for model in self.task.by_size if model.compute_accuracy()]


def _name_models(source: Source) -> str:
    return ", ".join(model.name for model in source.models)


def tell_technology(source: Source) -> Fact | None:
    return Fact(f"Neural networks that classify images: {_name_models(source)}", "Accuracy") if source.models else None


def tell_hypotheses(source: Source) -> Fact | None:
    n = len(source.verdicts.judgements)
    return Fact(f"{n} claims with limits that were stated as data, each with its verdict", CLAIMS) if n else None


def tell_goal(source: Source) -> Fact:
    n = len(source.models)
    return Fact(f"Development and internal evaluation of {n} models, compared by accuracy and cost", "Accuracy")


def tell_data(source: Source) -> Fact | None:
    data = source.origin.data
    label = "SYNTHETIC. " if data.is_synthetic else ""
    return Fact(f"{label}{data.source}. {data.note}") if data.source else None


def tell_eligibility(source: Source) -> Fact | None:
    out = source.origin.data.scans.out
    said = "; ".join(f"{row.reason} ({format_count(row.n)})" for row in out[:N_REASONS])
    more = f"; and {len(out) - N_REASONS} more reasons" if len(out) > N_REASONS else ""
    return Fact(f"Left out: {said}{more}", "Scans") if source.origin.data.scans.n_scans and out else None


def tell_missing(source: Source) -> Fact | None:
    scans = source.origin.data.scans
    n = sum(row.n for row in scans.out)
    text = f"Scans without what was asked are left out, none is imputed: {format_count(n)} of {n + scans.n_scans}"
    return Fact(text, "Scans") if scans.n_scans else None


def tell_flow(source: Source) -> Fact | None:
    scans = source.origin.data.scans
    text = (
        f"{format_count(scans.n_scans)} scans of {format_count(scans.n_subjects)} subjects are in, "
        f"{format_count(sum(row.n for row in scans.out))} files are out, by reason"
    )
    return Fact(text, "Scans") if scans.n_scans else None


def tell_preprocessing(source: Source) -> Fact | None:
    data = source.first.provenance.get("data") if source.first else None
    kept = data.get("normalisation") if isinstance(data, dict) else None
    if isinstance(kept, dict):
        return Fact(f"Normalisation {kept.get('kind')} per channel, by figures of the training split alone")
    said = data.get("preprocessing") if isinstance(data, dict) else None
    return Fact(", ".join(f"{name} {value}" for name, value in said.items())) if isinstance(said, dict) else None


def tell_predictors(source: Source) -> Fact:
    return Fact("The image alone; no other variable enters a model", "Accuracy")


def tell_partitions(source: Source) -> Fact | None:
    parts = ", ".join(f"{format_count(n)} {name}" for name, n in source.origin.splits.items())
    return Fact(" ".join([f"{parts} examples.", *list_folds(source.task)])) if parts else None


def tell_disjoint(source: Source) -> Fact | None:
    folds = list_folds(source.task)
    said = [text for text in list_splits(source.task) if text not in folds]
    return Fact(" ".join(said)) if said else None


def tell_size(source: Source) -> Fact | None:
    found = source.models[0].compute_accuracy() if source.models else None
    if not found:
        return None
    text = f"Test examples: {format_count(found.n)}; trainings of each model: {found.n_seeds}"
    return Fact(f"{text}. The report says which differences these resolve", "Which differences are resolved")


def tell_model(source: Source) -> Fact | None:
    sizes = [f"{model.name} {format_count(int(model.n_parameters))}" for model in source.models if model.measured]
    return Fact(f"Parameters: {', '.join(sizes)}; multiply-accumulates beside", "Accuracy") if sizes else None


def tell_software(source: Source) -> Fact | None:
    versions = source.origin.versions
    named = ("dlmi-bench", "python", "torch", "onnxruntime")
    said = ", ".join(f"{name} {versions[name]}" for name in named if versions.get(name))
    commit = f", commit {source.origin.commit}" if source.origin.commit else ""
    return Fact(f"{said}{commit}; all versions in the table", "Measured on") if said else None


def tell_start(source: Source) -> Fact | None:
    starts = {model.name: _find_start(model) for model in source.models}
    said = "; ".join(f"{name}: {start}" for name, start in starts.items() if start != "scratch")
    seeds = "random initial values by a seed that is recorded"
    return Fact(f"{said}; otherwise {seeds}" if said else seeds.capitalize(), "Every seed") if starts else None


def _find_start(model: ModelResults) -> str:
    start = model.trainings[0].provenance.get("start") if model.trainings else None
    return str(start.get("source", "scratch")) if isinstance(start, dict) else "scratch"


def tell_training(source: Source) -> Fact | None:
    recipe = source.origin.recipe
    said = ", ".join(f"{name} {value}" for name, value in recipe.items())
    return Fact(f"Recipe of {source.models[0].name}: {said}", "Cost of training") if recipe and source.models else None


def tell_selection(source: Source) -> Fact:
    tuned = [
        model.name
        for model in source.models
        if model.trials or any(r.provenance.get("tuning") for r in model.trainings)
    ]
    budget = (
        f"; trials of recipes are counted for {', '.join(tuned)}" if tuned else "; trials of recipes were not counted"
    )
    text = f"The weights of the last epoch, nothing is selected by the test split{budget}"
    return Fact(text, "Tuning" if tuned else "Every seed")


def tell_ensembles(source: Source) -> Fact:
    return Fact("None: each figure is that of one network", "Accuracy")


def tell_measures(source: Source) -> Fact | None:
    names = {figure.name for figure in source.first.figures} if source.first else set()
    said = sorted(name.removeprefix("test_").replace("_", " ") for name in names if name.startswith("test_"))
    return Fact(f"Of the test split: {', '.join(said)}", "Accuracy, all classes weighed equally") if said else None


def tell_statistics(source: Source) -> Fact:
    text = (
        "95 % intervals over test examples and over trainings; claims by intervals against stated limits, corrected "
        "within each family"
    )
    return Fact(text, CLAIMS)


def tell_robustness(source: Source) -> Fact | None:
    arms = [name for name in source.results.tasks if name.startswith(f"{source.task.name}{ARM}")]
    others = f"; other preparations of the data: {', '.join(arms)}" if arms else ""
    text = f"Answers of every runtime compared with those in float64{others}"
    return Fact(text, "Agreement with float64") if source.first else None


def tell_explanations(source: Source) -> Fact | None:
    has_pictures = any(record.details.get("pictures") for record in source.task.trainings)
    return Fact("SmoothGrad of right and of wrong answers, test examples shown", "Plots") if has_pictures else None


def tell_internal(source: Source) -> Fact | None:
    n = source.origin.splits.get("test")
    return Fact(f"Test split ({format_count(n)} examples), read once for each file", "Accuracy") if n else None


def tell_external(source: Source) -> Fact | None:
    folds = source.origin.folds
    text = "Sites that were not learnt from; another study's data were not used"
    return Fact(text, "Accuracy") if folds and folds.is_held_out_site else None


def tell_heterogeneity(source: Source) -> Fact | None:
    folds = source.origin.folds
    by = "site" if folds and folds.is_held_out_site else "fold"
    return Fact(f"Accuracy of each {by} and repeat", "Every seed") if folds else None


def tell_characteristics(source: Source) -> Fact | None:
    parts = ", ".join(f"{name} {format_count(n)}" for name, n in source.origin.splits.items())
    classes = source.origin.data.scans.subjects_by_class
    by = "; subjects " + ", ".join(f"{name}: {format_count(n)}" for name, n in classes.items()) if classes else ""
    return Fact(f"Examples: {parts}{by}; age and sex are the author's", "Scans" if classes else "") if parts else None


def tell_performance(source: Source) -> Fact | None:
    said = [
        f"{model.name} {format_percent(found.mean)} [{format_percent(found.lo)}, {format_percent(found.hi)}] %"
        for model in source.models
        if (found := model.compute_accuracy())
    ]
    return Fact(f"Test accuracy: {'; '.join(said)}", "Accuracy") if said else None


def tell_diagnostic(source: Source) -> Fact | None:
    names = {figure.name for figure in source.first.figures} if source.first else set()
    has_areas = "test_auc" in names
    return (
        Fact("Areas, sensitivities and specificities with intervals", "Discrimination and calibration")
        if has_areas
        else None
    )


def tell_failures(source: Source) -> Fact | None:
    has = any(record.details.get("confusion") for record in source.task.trainings)
    return Fact("Confusions and the most frequent mistakes", "Most frequent mistakes") if has else None


def tell_limitations(source: Source) -> Fact | None:
    doubts = ["the data are synthetic and say nothing about patients"] if source.task.is_synthetic else []
    clusters = source.origin.clusters
    if clusters:
        doubts.append(
            f"{format_count(clusters.n_examples)} test examples are of {format_count(clusters.n_groups)} groups"
        )
    if not (source.origin.folds and source.origin.folds.is_held_out_site):
        doubts.append("no external data")
    return Fact(f"From the records: {'; '.join(doubts)}. The others are the author's") if doubts else None


def tell_details(source: Source) -> Fact:
    return Fact("Suite, settings, machine and all runs, with the seed and hash of each file", "All runs")


def tell_availability(source: Source) -> Fact | None:
    hashes = source.origin.data.sha256
    text = "The ONNX files that were judged, from dlmi-bench export --format onnx"
    return Fact(f"{text}; data identified by sha256 of {len(hashes)} parts", "All runs") if hashes else None


def tell_updating(source: Source) -> Fact:
    return Fact("None: no model was changed after its test")


def tell_predictions(source: Source) -> Fact | None:
    names = source.first.details.get("class_names") if source.first else None
    if not isinstance(names, list):
        return None
    return Fact(
        f"Scores of {len(names)} classes ({', '.join(map(str, names))}); the highest decides", "Recall by class"
    )


def tell_imbalance(source: Source) -> Fact | None:
    weights = source.origin.recipe.get("class_weights")
    text = f"Class weights of the loss: {weights}; balanced figures beside accuracy"
    return Fact(text, "Accuracy, all classes weighed equally") if weights else None


FACTS: dict[str, Callable[[Source], Fact | None]] = {
    name.removeprefix("tell_"): function for name, function in globals().items() if name.startswith("tell_")
}
