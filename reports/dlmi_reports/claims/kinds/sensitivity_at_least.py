"""Claim: the sensitivity at a specificity that was fixed on validation is large enough."""

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dlmi_bench.metrics.predictions import Predictions
from dlmi_bench.metrics.thresholds import fix_by_specificity
from dlmi_bench.records import Record
from dlmi_bench.stats.estimates import estimate_accuracy
from dlmi_reports.claims.comparisons import Comparison, Finding, show_percent
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.answers import read_examples
from dlmi_reports.results.arrays import UnmeasuredError, find_array
from dlmi_reports.results.model import ModelResults


class SensitivityAtLeast(OnTask):
    """The mean sensitivity over seeds lies above `value`, each at the threshold of its own validation examples.

    Attributes:
        specificity: Share of the other validation examples below the threshold.
        positive: Name of the class to find; the second of two by default.
    """

    kind: Literal["sensitivity_at_least"]
    metric: Literal["test_sensitivity"] = "test_sensitivity"
    value: float = Field(gt=0, lt=1)
    specificity: float = Field(0.9, gt=0, lt=1)
    positive: str = ""
    test: Literal["two-way"] = "two-way"

    def find(self, evidence: Evidence) -> Finding:
        results = evidence.find_model(self)
        index = find_class(results, self.positive)
        examples = read_examples(results, partial(self._compute_row, results, index))
        is_own = examples.labels == index
        if not is_own.any():
            raise UnmeasuredError("no test example is of the class to find")
        table = examples.pool(is_own).table
        label = f"sensitivity of {self.model} at a validation specificity of {self.specificity:g}, {len(table)} seeds"
        wanted = f", claimed: above {100 * self.value:.4g} %"
        return Finding((Comparison(label, estimate_accuracy(table), self.value, show_percent, wanted),))

    def _compute_row(
        self, results: ModelResults, index: int, record: Record, scores: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Tell which examples reach the threshold of the training, as 1 or 0."""
        known, truth = (find_array(record, f"validation_{what}", results) for what in ("scores", "labels"))
        odds, at = (_compute_odds(x, y, index) for x, y in ((scores, labels), (known, truth)))
        if not (truth != index).any():
            raise UnmeasuredError("all validation examples are of the class to find: they fix no specificity")
        return (odds >= fix_by_specificity(at, truth == index, self.specificity)).astype(float)


def _compute_odds(scores: NDArray[Any], labels: NDArray[Any], index: int) -> NDArray[np.float64]:
    """Log odds of a class; of scores that are not finite none is reached."""
    finite = np.isfinite(scores).all(1)
    kept = np.where(finite[:, None], scores, 0.0)
    found = Predictions(kept, labels.astype(np.int64), ("",) * scores.shape[1], None, "", {})
    return np.where(finite, found.get_odds(index), -np.inf)


def find_class(results: ModelResults, name: str) -> int:
    """Find the number of a class by its name; without one, the second of two.

    Raises:
        UnmeasuredError: no such class, or several and no name.
    """
    names = next((record.details.get("class_names", []) for record in results.trainings), [])
    if not name and len(names) == 2:
        return 1
    if name not in names:
        why = f"{results.task} has no class {name!r}" if name else "which class is to be found is not said"
        raise UnmeasuredError(f"{why}; its classes are {', '.join(names)}", 'name one as positive = "..."')
    return names.index(name)
