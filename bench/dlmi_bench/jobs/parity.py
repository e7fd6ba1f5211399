"""Distance of a runtime's scores from those of eager in float64. Imports no torch: timed processes use it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import BACKENDS, Scores
from dlmi_bench.records import Figure, Mark, Note, unavailable
from dlmi_bench.stats.intervals import compute_wilson

PARITY = ("max_score_error", "score_rmse_ratio", "decision_disagreement")
# Scores of a float32 runtime against another's, as a share of the largest: rounding reads 1e-6, an error of 1e-2 is
# found up to scores of 100.
SCORE_TOLERANCE = 1e-4
# Largest relative error of one rounding by precision. Integers: a step of the range, by which two programs that both
# round may differ; 4-bit weights are exact, what they are multiplied with has 8 bits.
UNIT_ROUNDOFF = {"float16": 2**-11, "bfloat16": 2**-8, "int8": 1 / 255, "int4": 1 / 255}
ROUNDING_MARGIN = 4  # of the largest of many scores over the bound of a typical one
# Where all scores are smaller than this they are what is left of larger terms, and so is their rounding.
SMALL_SCORE = 0.1
# A network whose scores range over less than this share of their size answers the same to every input.
VACUOUS_RANGE = 1e-6


@dataclass(frozen=True)
class Answer:
    """Scores of one runtime for the validation images, then the test images; or why there are none."""

    backend: str
    validation: Scores
    test: Scores
    conditions: dict[str, str | int | float | bool]
    reason: str = ""


def make_parity(
    answer: Answer,
    reference: NDArray[np.float64] | None,
    eager: Scores,
    *,
    source: str = "test split",
    share: float = 0.0,
) -> list[Figure]:
    """Compare a runtime with float64: largest error, RMSE in units of float32 eager's own, other decisions.

    Args:
        answer: The runtime's, for the test images.
        reference: Scores of eager in float64, (n, class); None where there is no module to ask.
        eager: Scores of eager in float32, (n, class).
        source: Where the images came from.
        share: Difference that coarser rounding explains, as a share of the largest score; see `compute_share`.
    """
    if reference is None:
        reason = answer.reason or "an ONNX file has no module to compare with"
        return [unavailable(name, reason, backend=answer.backend) for name in PARITY]
    reason = answer.reason
    if not reason and not (np.isfinite(answer.test).all() and np.isfinite(reference).all()):
        reason = "scores are not finite"
    if reason:
        return [unavailable(name, reason, backend=answer.backend) for name in PARITY]
    worst, rmse = float(np.abs(answer.test - reference).max()), _compute_rmse(answer.test, reference)
    measured = Figure(
        name="max_score_error",
        value=worst,
        kind="measured",
        source=source,
        method="against float64 eager",
        n=len(reference),
        conditions=answer.conditions,
        notes=tuple(_list_doubts(answer, reference, worst, share)),
    )
    own = _compute_rmse(eager, reference)
    method = f"RMSE {rmse:.1e} over float32 eager's own {own:.1e}, both against float64 eager"
    no_error = "float32 eager has no error to compare with"
    return [
        measured,
        measured.model_copy(update={"name": "score_rmse_ratio", "value": rmse / own, "method": method})
        if own
        else unavailable("score_rmse_ratio", no_error, backend=answer.backend),
        _make_disagreement(measured, int((answer.test.argmax(1) != reference.argmax(1)).sum())),
    ]


def _make_disagreement(measured: Figure, n_other: int) -> Figure:
    lo, hi = compute_wilson(n_other, measured.n)
    update = {"name": "decision_disagreement", "value": n_other / measured.n, "lo": lo, "hi": hi}
    return measured.model_copy(update=update | {"interval": "Wilson 95 %, sampling of examples"})


def compute_share(precision: str, depth: int = 1) -> float:
    """Largest difference that rounding coarser than float32 explains, as a share of the largest score.

    Errors of independent roundings add like the square root of their number, which is at most one for each operator
    on the longest way through the file.

    Source: N. Higham, T. Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 41 (2019)
    A2815-A2835: sqrt(n) u in the place of n u.

    Args:
        precision: Of the file or the runtime; 0 comes back for float32 and finer ones.
        depth: Operators on the longest way from an input to the scores.
    """
    return float(ROUNDING_MARGIN * depth**0.5 * UNIT_ROUNDOFF.get(precision, 0.0))


def compute_tolerance(scores: NDArray[Any], share: float = 0.0) -> float:
    """Largest difference from these scores that rounding explains, in float32 or, coarser, by a `compute_share`."""
    return max(SCORE_TOLERANCE, share) * max(SMALL_SCORE, float(np.abs(scores).max()))


def _compute_rmse(scores: Scores, reference: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((scores - reference) ** 2)))


def _list_doubts(answer: Answer, reference: NDArray[np.float64], worst: float, share: float) -> Iterable[Note]:
    if np.ptp(reference, axis=0).max() <= VACUOUS_RANGE * float(np.abs(reference).max()):
        yield Note(Mark.VACUOUS, "the network answers the same to every input")
    elif len(np.unique(reference.argmax(1))) == 1:
        yield Note(Mark.VACUOUS, "every decision is for the same class")
    if BACKENDS[answer.backend].precision == "float32" and worst > compute_tolerance(reference, share):
        precision = answer.conditions.get("precision", "float32")
        yield Note(Mark.INVALID, f"scores differ by up to {worst:.1e}, which {precision} does not explain")
