"""Reference accuracies for every network on the SPECT task: from the data alone, without a network."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.instruments.accuracy import make_accuracy_figure, make_confusion_figure
from dlmi_bench.records import Conditions, Figure, unavailable
from dlmi_bench.stats.confusion import compute_balanced_accuracy, count_confusion
from dlmi_tasks.spect.anatomy.anatomy import load_regions
from dlmi_tasks.spect.cohort.cohort import find_patient
from dlmi_tasks.spect.data import CLASS_NAMES, Scans, SpectDataset, SyntheticDataset
from dlmi_tasks.spect.learners import fit_lda, fit_logistic
from dlmi_tasks.spect.observer import compute_ceiling, make_measured_features, observe
from dlmi_tasks.spect.preprocess import compute_image_snr, compute_left_out_snr, compute_pooled_snr, normalise

COURSE_BASELINE = 0.25
METRICS = ("test_accuracy", "test_balanced_accuracy")


def describe_references(data: SpectDataset) -> list[Figure]:
    """Chance, the largest class, four numbers, a linear model of the pixels, the best possible; and the signal."""
    return [*_list_constants(data), *_judge_learners(data), *_describe_signal(data)]


def _list_constants(data: SpectDataset) -> Iterator[Figure]:
    n_classes = len(data.class_names)
    constants = {"uniform chance": (1 / n_classes, "arithmetic", f"one of {n_classes} classes at random")}
    if data.class_names == CLASS_NAMES:
        how = "below chance: three balanced classes give 33.3 %"
        constants["the course's baseline"] = (COURSE_BASELINE, "course", how)
    if isinstance(data, SyntheticDataset):
        ceiling = compute_ceiling(data.spec.preset, data.spec.separation)
        bound = compute_ceiling(data.spec.preset, data.spec.separation, has_gradient=True)
        how = "ideal observer of the true binding ratios; no classifier of the ratios can do better"
        constants["ceiling of the ratios"] = (ceiling, "simulation", how)
        constants["ceiling with the putamen's gradient"] = (bound, "simulation", "ideal observer of all that differs")
    for observer, (value, source, method) in constants.items():
        for name in METRICS:
            conditions = {"observer": observer}
            yield Figure(name=name, value=value, kind="derived", source=source, method=method, conditions=conditions)


def _judge_learners(data: SpectDataset) -> Iterator[Figure]:
    train = data.train
    largest = np.bincount(train.labels).argmax()
    yield from _judge("majority class", lambda scans: np.full(len(scans), largest), data)
    measured = make_measured_features(train.extracts.ratios)
    if len(measured) - len(data.class_names) >= measured.shape[1]:
        discriminate = fit_lda(measured, train.labels)
        yield from _judge(
            "LDA on measured ratios", lambda scans: discriminate(make_measured_features(scans.extracts.ratios)), data
        )
    else:
        for name in METRICS:
            yield unavailable(name, "too few training scans for a covariance", observer="LDA on measured ratios")
    regress = fit_logistic(_flatten(train), train.labels)
    yield from _judge("logistic regression on pixels", lambda scans: regress(_flatten(scans)), data)
    if isinstance(data, SyntheticDataset):
        # How hard these very patients are, beside the ceiling, which is that of all patients.
        find = partial(find_patient, data.spec)
        yield from _judge("ideal observer on these patients", lambda s: observe([find(i) for i in s.subjects]), data)


def _flatten(scans: Scans) -> NDArray[np.float64]:
    return scans.images.reshape(len(scans), -1).astype(np.float64)


def _judge(observer: str, predict: Callable[[Scans], NDArray[np.int64]], data: SpectDataset) -> Iterator[Figure]:
    """Accuracies of one observer; that on the validation split tells how hard its few patients are."""
    conditions: Conditions = {"observer": observer}
    labels, n_classes = data.test.labels, len(data.class_names)
    decisions, seen = predict(data.test), predict(data.validation) == data.validation.labels
    yield make_accuracy_figure("validation_accuracy", seen, source="validation split", conditions=conditions)
    yield make_accuracy_figure("test_accuracy", decisions == labels, source="test split", conditions=conditions)
    confusion = count_confusion(labels, decisions, n_classes)
    yield make_confusion_figure(
        "test_balanced_accuracy", confusion, compute_balanced_accuracy, source="test split", observer=observer
    )


def _describe_signal(data: SpectDataset) -> Iterator[Figure]:
    """Striatal contrast over noise of the training scans; see preprocess.py for what the two figures say.

    Their samples go scan by scan: the figure of each, and the pooled figure without each.
    """
    regions = load_regions()
    planes = normalise(data.train.extracts, data.preprocessing.normalisation)
    by_image = compute_image_snr(planes, regions)
    found = {
        "image_snr": (float(np.median(by_image)), by_image, "median; samples: each scan's"),
        "pooled_snr": (
            compute_pooled_snr(planes, regions),
            compute_left_out_snr(planes, regions),
            "samples: without each scan in turn",
        ),
    }
    for name, (value, samples, method) in found.items():
        common: dict[str, Any] = {"kind": "measured", "source": "training split", "n": len(planes), "method": method}
        yield Figure(name=name, value=value, samples=tuple(samples.tolist()), **common)
