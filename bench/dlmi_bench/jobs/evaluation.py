"""The one look at the test split: accuracy of each artifact, and parity of each runtime with eager in float64."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import BACKENDS, JUDGED_BACKEND, Batch, Scores, predict
from dlmi_bench.errors import BenchError
from dlmi_bench.instruments.accuracy import make_accuracy_figure, make_confusion_figure
from dlmi_bench.jobs.inputs import load_examples
from dlmi_bench.jobs.parity import Answer, make_parity
from dlmi_bench.jobs.protocol import NOT_FINITE, OnProgress, PredictRequest, scores_role
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.metrics import describe_answers
from dlmi_bench.records import Artifact, Conditions, Figure, unavailable
from dlmi_bench.stats.confusion import (
    Counts,
    Metric,
    compute_balanced_accuracy,
    compute_design,
    compute_macro_f1,
    compute_quadratic_kappa,
    count_confusion,
)
from dlmi_bench.stats.linear import Units
from dlmi_bench.store.artifacts import TRAIT, artifact_path, put_array
from dlmi_bench.store.pictures import Picture, make_pictures, pick_examples
from dlmi_tasks.spec import Arrays, Groups, HeldOut, Labels, Splits, Stream, Task

REFERENCE_BATCH = 64
EXPORTED = "exported file"


@dataclass(frozen=True)
class Evaluation:
    """Results of the one look at the test split.

    Attributes:
        figures: All runtimes' figures, the default runtime first.
        artifacts: Scores and labels.
        confusion: The confusion matrix of the default runtime.
        pictures: A few test examples to look at; none unless they were asked for.
    """

    figures: list[Figure]
    artifacts: list[Artifact]
    confusion: Counts
    pictures: list[Picture]


def evaluate(
    artifacts: dict[str, Artifact],
    splits: Splits,
    task: Task,
    out: Path,
    backends: Iterable[str],
    *,
    n_pictured: int = 0,
    is_compared: bool = True,
    obstacles: Mapping[str, str] | None = None,
) -> Evaluation:
    """Judge every runtime in `backends`; `n_pictured` right and as many wrong examples of each class are pictured.

    The test split is read once by the name of each artifact, and every runtime of that artifact answers then.

    Args:
        is_compared: Whether each runtime is compared with eager in float64.
        obstacles: Why a backend cannot run this model, by its name.
    """
    asked = {JUDGED_BACKEND, *backends, *(["eager"] if is_compared else [])}
    names = sorted(asked, key=lambda n: (n != JUDGED_BACKEND, list(BACKENDS).index(n)))
    wanted = sorted({BACKENDS[name].artifact_role for name in names}, key=lambda role: role != "torch")
    roles = [role for role in wanted if role in artifacts]
    reads = {role: splits.test.read(artifacts[role].sha256) for role in roles}
    test = next(iter(reads.values()))
    paths = {role: artifact_path(out, artifacts[role]) for role in roles}
    images, known = (splits.validation.images, test.images), obstacles or {}
    answers = [_ask(name, paths.get(BACKENDS[name].artifact_role), *images, known.get(name, "")) for name in names]
    seen = _answer_training(paths[BACKENDS[JUDGED_BACKEND].artifact_role], splits.train)
    figures = [
        _make_accuracy("train_accuracy", answers[0], seen, splits.train.labels),
        _make_accuracy("validation_accuracy", answers[0], answers[0].validation, splits.validation.labels),
    ]
    groups = find_groups(splits.test)
    figures += [_make_accuracy("test_accuracy", answer, answer.test, test.labels, groups) for answer in answers]
    figures += _compare_all(answers, paths.get("torch"), test.images) if is_compared else []
    figures += _count_reads(splits.test, {role: artifacts[role] for role in roles})
    confusion = count_confusion(test.labels, answers[0].test.argmax(1), task.n_classes)
    figures += _describe_confusion(confusion, answers[0], task, Units(test.labels, groups, task.n_classes))
    figures += describe_answers(
        answers[0].test,
        test.labels,
        class_names=task.class_names,
        is_ordinal=task.is_ordinal,
        groups=groups,
        validation=(answers[0].validation, splits.validation.labels),
        source=EXPORTED,
        conditions={"backend": answers[0].backend},
    )
    kept = _keep_scores(answers, splits.validation.labels, test.labels, out)
    kept += _keep_columns(groups, splits.test.traits, out)
    pictures = _picture(paths["torch"], test, answers[0].test, n_pictured) if n_pictured and "torch" in paths else []
    return Evaluation(figures, kept, confusion, pictures)


def _compare_all(answers: list[Answer], path: Path | None, images: Batch) -> list[Figure]:
    """Compare every runtime with eager in float64."""
    reference = compute_reference(path, images) if path else None
    eager = next(answer for answer in answers if answer.backend == "eager")
    return [figure for answer in answers for figure in make_parity(answer, reference, eager.test)]


def _answer_training(path: Path, train: Arrays | Stream) -> Scores:
    runner = BACKENDS[JUDGED_BACKEND].load(path)
    if isinstance(train, Arrays):
        return predict(runner, train.images)
    return np.concatenate([runner.run(images.numpy()) for images, _ in train.iterate(REFERENCE_BATCH)])


def _count_reads(test: HeldOut, artifacts: dict[str, Artifact]) -> list[Figure]:
    """Count how often the test split was read for each artifact, the default runtime's first."""
    return [
        Figure(
            name="n_test_reads",
            value=test.reads[artifacts[role].sha256],
            kind="counted",
            source="dlmi_tasks.spec.HeldOut",
            conditions={"artifact": role},
        )
        for role in sorted(artifacts, key=lambda role: role != BACKENDS[JUDGED_BACKEND].artifact_role)
    ]


def _picture(path: Path, test: Arrays, scores: Scores, n_each: int) -> list[Picture]:
    """Examples of each class with the answer given, and with the gradient of the network that was exported."""
    from dlmi_bench.backends.eager import load_network
    from dlmi_bench.jobs.saliency import compute_saliency

    if not np.isfinite(scores).all():
        return []
    examples = pick_examples(test.labels, scores.argmax(1), n_each)
    images, scores = test.images[examples], scores[examples]
    saliency = compute_saliency(load_network(path), images, scores.argmax(1))
    return make_pictures(examples, images.mean(1), saliency, test.labels[examples], scores)


def find_groups(test: HeldOut) -> NDArray[np.int64] | None:
    """Number the groups of the test examples, (n,); None where none has several, or nobody knows.

    Numbers, because names of patients do not belong into results.
    """
    if test.groups is None:
        return None
    names, groups = np.unique(test.groups, return_inverse=True)
    return groups.astype(np.int64) if len(names) < len(groups) else None


def _describe_confusion(confusion: Counts, answer: Answer, task: Task, units: Units) -> list[Figure]:
    """Compute what accuracy hides: figures in which every class, or every step between stages, counts."""
    metrics: dict[str, Metric] = {
        "test_balanced_accuracy": compute_balanced_accuracy,
        "test_macro_f1": compute_macro_f1,
    }
    if task.is_ordinal:
        metrics["test_quadratic_kappa"] = compute_quadratic_kappa
    if not np.isfinite(answer.test).all():
        return [unavailable(name, NOT_FINITE, backend=answer.backend) for name in metrics]
    is_grouped, decisions = units.n_units < len(units.labels), answer.test.argmax(1)
    designs = {name: compute_design(decisions, units, metric) for name, metric in metrics.items() if is_grouped}
    return [
        make_confusion_figure(
            name, confusion, metric, source=EXPORTED, design=designs.get(name), backend=answer.backend
        )
        for name, metric in metrics.items()
    ]


def _keep_columns(groups: NDArray[np.int64] | None, traits: Mapping[str, Groups], out: Path) -> list[Artifact]:
    """Keep whose the test examples are, as numbers, and the subgroups they belong to, as words."""
    found = {} if groups is None else {"test_groups": groups}
    columns = found | {f"{TRAIT}{i}": words for i, words in enumerate(traits.values())}
    return [put_array(out, role, column) for role, column in columns.items()]


def _keep_scores(answers: list[Answer], validation_labels: Labels, test_labels: Labels, out: Path) -> list[Artifact]:
    """Keep validation scores of every runtime, which its timed runs must repeat, and all scores of the default one."""
    kept: dict[str, NDArray[Any]] = {
        "validation_scores": answers[0].validation,
        "validation_labels": validation_labels,
        "test_scores": answers[0].test,
        "test_labels": test_labels,
    }
    for answer in answers:
        if not answer.reason:
            kept[scores_role(answer.backend)] = answer.validation
    return [put_array(out, role, array) for role, array in kept.items()]


def compute_reference(path: Path, images: Batch) -> NDArray[np.float64]:
    """Scores of torch eager in float64."""
    import torch

    from dlmi_bench.backends.eager import load_network

    network = load_network(path).double()
    with torch.inference_mode():
        parts = [network(part.double()).numpy() for part in torch.from_numpy(images).split(REFERENCE_BATCH)]
    return np.concatenate(parts)


def _ask(name: str, path: Path | None, validation: Batch, test: Batch, obstacle: str) -> Answer:
    entry, nothing = BACKENDS[name], np.empty((0, 0), np.float32)
    if missing := obstacle or entry.find_missing():
        return Answer(name, nothing, nothing, {}, missing)
    if path is None:  # 8-bit integers have no range for what is not a number
        return Answer(name, nothing, nothing, {}, NOT_FINITE)
    images = np.concatenate([validation, test])
    if entry.is_isolated:
        try:
            scores, conditions = _ask_worker(name, path, images)
        except BenchError as error:
            return Answer(name, nothing, nothing, {}, error.cause.splitlines()[0])
    else:
        runner = entry.load(path)
        scores, conditions = predict(runner, images), runner.conditions
    return Answer(name, scores[: len(validation)], scores[len(validation) :], {"backend": name, **conditions})


def _ask_worker(name: str, path: Path, images: Batch) -> tuple[Scores, dict[str, str | int | float | bool]]:
    """Ask in a process of its own: a compiler or a runtime that fails takes nothing else with it."""
    with TemporaryDirectory() as folder, Worker() as worker:
        files = {"images": str(Path(folder, "images.npy")), "scores": str(Path(folder, "scores.npy"))}
        np.save(files["images"], images, allow_pickle=False)
        conditions = worker.ask(PredictRequest(backend=name, path=str(path), **files))
        return np.load(files["scores"], allow_pickle=False), conditions


def run_predict_job(request: PredictRequest, _: OnProgress) -> Conditions:
    """Write the scores of images by one artifact; return the runtime's conditions."""
    runner = BACKENDS[request.backend].load(Path(request.path), **request.choices)
    scores = predict(runner, load_examples(request.images))
    np.save(request.scores, scores, allow_pickle=False)
    return dict(runner.conditions)


def _make_accuracy(
    name: str, answer: Answer, scores: Scores, labels: Labels, groups: NDArray[np.int64] | None = None
) -> Figure:
    if answer.reason:
        return unavailable(name, answer.reason, backend=answer.backend)
    if not np.isfinite(scores).all():
        return unavailable(name, NOT_FINITE, backend=answer.backend)
    is_right = scores.argmax(1) == labels
    return make_accuracy_figure(name, is_right, source=EXPORTED, conditions=answer.conditions, groups=groups)
