"""Accuracy and parity from one look at the test split."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dlmi_bench.backends import BACKENDS, DEFAULT_BACKENDS
from dlmi_bench.backends.eager import EagerRunner
from dlmi_bench.jobs import training
from dlmi_bench.jobs.evaluation import evaluate
from dlmi_bench.jobs.parity import PARITY, Answer, make_parity
from dlmi_bench.jobs.protocol import NOT_FINITE, scores_role
from dlmi_bench.records import Artifact, Figure
from dlmi_bench.store.artifacts import artifact_path
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.spec import Arrays, HeldOut, Splits

N = 40


def make_split(seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    return Arrays(rng.standard_normal((N, 1, 16, 16)).astype(np.float32), rng.integers(0, 10, N))


TASK = get_task("usps")


@pytest.fixture
def splits() -> Splits:
    return Splits(make_split(0), make_split(1), HeldOut(make_split(2)))


@pytest.fixture
def artifacts(splits: Splits, tmp_path: Path) -> dict[str, Artifact]:
    torch.manual_seed(0)
    network = MODELS["mlp-64-32"].build()
    return training._export(network, "mlp-64-32", TASK, splits.train, tmp_path)


def find(figures: list[Figure], name: str, backend: str) -> Figure:
    return next(f for f in figures if f.name == name and f.conditions.get("backend") == backend)


def test_every_artifact_is_judged_in_one_read(artifacts: dict[str, Artifact], splits: Splits, tmp_path: Path) -> None:
    """Three files, one read each; every runtime has accuracy and parity; eager is its own unit of error."""
    evaluated = evaluate(artifacts, splits, TASK, tmp_path, DEFAULT_BACKENDS)
    figures = evaluated.figures
    assert set(splits.test.reads) == {artifact.sha256 for artifact in artifacts.values()}
    assert [f.value for f in figures if f.name == "n_test_reads"] == [1, 1, 1]
    assert next(f for f in figures if f.name == "test_accuracy").conditions["backend"] == "onnxruntime"
    assert find(figures, "score_rmse_ratio", "eager").value == 1
    assert 0 < find(figures, "max_score_error", "eager").value < 1e-5  # type: ignore[operator]
    assert find(figures, "score_rmse_ratio", "onnxruntime-int8").value > 100  # type: ignore[operator]
    assert find(figures, "test_accuracy", "onnxruntime-int8").n == N
    kinds = {"scores", "labels"}
    assert evaluated.pictures == []
    roles = {f"{split}_{kind}" for split in ("validation", "test") for kind in kinds}
    roles |= {"validation_scores-eager", "validation_scores-onnxruntime-int8"}
    assert {a.role for a in evaluated.artifacts} == roles
    with pytest.raises(ValueError, match="already read"):
        evaluate(artifacts, splits, TASK, tmp_path, DEFAULT_BACKENDS)


def test_pictures_come_from_the_same_look(artifacts: dict[str, Artifact], splits: Splits, tmp_path: Path) -> None:
    """Right and wrong as in the confusion matrix, without another read; none unless asked for."""
    evaluated = evaluate(artifacts, splits, TASK, tmp_path, (), n_pictured=1)
    assert set(splits.test.reads.values()) == {1}
    right, wrong = ({p.truth for p in evaluated.pictures if p.is_right is hit} for hit in (True, False))
    assert right == {i for i in range(10) if evaluated.confusion[i, i]}
    assert wrong == {i for i in range(10) if evaluated.confusion[i].sum() > evaluated.confusion[i, i]}
    assert all(p.decode()[1].max() == 255 for p in evaluated.pictures)


def test_runtime_that_is_not_here_says_why(
    artifacts: dict[str, Artifact], splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures are unavailable with the reason; the others come."""
    monkeypatch.setitem(BACKENDS, "cuda", replace(BACKENDS["cuda"], find_missing=lambda: "no CUDA device"))
    figures = evaluate(artifacts, splits, TASK, tmp_path, ["cuda", "onnxruntime"]).figures
    absent = [find(figures, name, "cuda") for name in (*PARITY, "test_accuracy")]
    assert {(figure.value, figure.reason) for figure in absent} == {(None, "no CUDA device")}
    assert find(figures, "test_accuracy", "onnxruntime").value is not None


def test_timed_runs_repeat_their_own_scores(
    artifacts: dict[str, Artifact], splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of each runtime are the scores that it gave itself: of one that is a half above them, those."""
    expected = BACKENDS["onnxruntime"].load(artifact_path(tmp_path, artifacts["onnx"])).run(splits.validation.images)
    read = EagerRunner.read
    monkeypatch.setattr(EagerRunner, "read", lambda self, outputs: read(self, outputs) + np.float32(0.5))
    kept = {a.role: artifact_path(tmp_path, a) for a in evaluate(artifacts, splits, TASK, tmp_path, ()).artifacts}
    for name, above in (("onnxruntime", 0.0), ("eager", 0.5)):
        assert np.allclose(np.load(kept[scores_role(name)]), expected + above, rtol=0, atol=1e-5)


def test_diverged_network_has_reasons_instead_of_figures(splits: Splits, tmp_path: Path) -> None:
    """Scores that are not numbers give no accuracy, no balanced accuracy, no parity and no picture."""
    network = MODELS["softmax"].build()
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    artifacts = training._export(network, "softmax", TASK, splits.train, tmp_path)
    assert set(artifacts) == {"torch", "onnx"}
    evaluated = evaluate(artifacts, splits, TASK, tmp_path, DEFAULT_BACKENDS, n_pictured=1)
    names = ("train_accuracy", "validation_accuracy", "test_accuracy", "test_balanced_accuracy", "test_macro_f1")
    found = {f.name: (f.value, f.reason) for f in evaluated.figures if f.conditions.get("backend") == "onnxruntime"}
    assert {found[name] for name in names} == {(None, NOT_FINITE)}
    assert {found[name][0] for name in PARITY} == {None}
    assert evaluated.pictures == []
    assert find(evaluated.figures, "test_accuracy", "onnxruntime-int8").reason == NOT_FINITE


def test_only_training_images_calibrate(splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images that set the ranges are rows of the training split, and the test split stays unread."""
    seen: list[np.ndarray[Any, Any]] = []
    write = training.write_int8

    def spy(model: Path, images: np.ndarray[Any, Any], path: Path) -> None:
        seen.append(images)
        write(model, images, path)

    monkeypatch.setattr(training, "write_int8", spy)
    training._export(MODELS["softmax"].build(), "softmax", TASK, splits.train, tmp_path)
    assert np.array_equal(seen[0], splits.train.images)
    assert splits.test.reads == {}


def answer(scores: np.ndarray[Any, Any], backend: str = "onnxruntime") -> Answer:
    return Answer(backend, scores, scores, {"backend": backend})


def notes(scores: np.ndarray[Any, Any], reference: np.ndarray[Any, Any], backend: str = "onnxruntime") -> str:
    return " ".join(map(str, make_parity(answer(scores, backend), reference, reference.astype(np.float32))[0].notes))


def test_scores_off_by_a_hundredth_are_found() -> None:
    """A float32 runtime that is off by 1e-2 is INVALID; one that rounds, or one of 8 bits, is not."""
    reference = np.random.default_rng(0).standard_normal((50, 10))
    exact = reference.astype(np.float32)
    assert notes(exact, reference) == ""
    assert "INVALID" in notes(exact + np.float32(1e-2), reference)
    assert notes(exact + np.float32(1e-2), reference, "onnxruntime-int8") == ""


def test_parity_by_hand() -> None:
    """Errors of 1, 0, 0, 0 beside eager's of 0.5 everywhere: RMSE 0.5 / 0.5, and one decision of two differs."""
    reference = np.array([[1.0, 0.5], [0.0, 3.0]])
    other = np.array([[0.0, 0.5], [0.0, 3.0]], np.float32)
    found = make_parity(answer(other), reference, (reference + 0.5).astype(np.float32))
    assert [figure.value for figure in found] == [1.0, 1.0, 0.5]


def test_vacuous_parity_is_said() -> None:
    """Constant outputs and constant decisions prove nothing."""
    constant = np.tile([1.0, 2.0, 3.0], (5, 1))
    assert "same to every input" in notes(constant.astype(np.float32), constant)
    same = np.random.default_rng(0).random((5, 3)) + np.array([0, 0, 9])
    assert "same class" in notes(same.astype(np.float32), same)


def test_groups_of_test_examples_are_sampled_as_one(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    """Eight patients of five images: figures say so, numbers instead of names are kept, and bounds are wider."""
    test, names = make_split(2), np.repeat([f"patient {i}" for i in range(8)], 5)
    grouped = replace(test, images=np.repeat(test.images[::5], 5, axis=0), labels=np.repeat(test.labels[::5], 5))
    found = {}
    for groups in (None, names):
        splits = Splits(make_split(0), make_split(1), HeldOut(replace(grouped, groups=groups)))
        found[groups is None] = evaluate(artifacts, splits, TASK, tmp_path, (), is_compared=False)
    for name in ("test_accuracy", "test_balanced_accuracy", "test_mcc"):
        alone, together = (find(found[is_alone].figures, name, "onnxruntime") for is_alone in (True, False))
        assert alone.value == together.value
        assert ("groups" in alone.interval, "groups" in together.interval) == (False, True)
        assert together.hi - together.lo > 1.3 * (alone.hi - alone.lo)  # type: ignore[operator]
    kept = {artifact.role: artifact for artifact in found[False].artifacts}
    assert np.load(artifact_path(tmp_path, kept["test_groups"])).tolist() == np.repeat(np.arange(8), 5).tolist()
    assert "test_groups" not in {artifact.role for artifact in found[True].artifacts}
