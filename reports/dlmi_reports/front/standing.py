"""How a model stands against others, by the verdicts on claims: whom it equals in accuracy, and what it costs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dlmi_bench.units import format_number
from dlmi_reports.claims.comparisons import Comparison
from dlmi_reports.claims.kinds.equivalent import Equivalent
from dlmi_reports.claims.kinds.non_inferior import NonInferior
from dlmi_reports.claims.kinds.ratio import Ratio
from dlmi_reports.claims.verdicts import ClaimVerdict, Judgement, Verdicts
from dlmi_reports.results.load import Results

# What is said of a supported ratio.
SAID = {
    "latency_s": "answers {} x as fast",
    "training_s": "trains {} x as fast",
    "time_to_target_s": "reaches the target {} x as fast",
    "inference_energy_j": "needs {} x less energy for an answer",
    "training_energy_j": "needs {} x less energy to train",
}
COUNTED = {"n_parameters": "parameters", "macs": "multiply-accumulates"}
EQUAL = 1.05  # ratios of counts nearer to 1 are called equal


@dataclass(frozen=True)
class Standing:
    """A model of a task, with the others that it was compared with.

    Attributes:
        equals: Models that it was shown to be less accurate than by less than a margin, if at all; with the margins. A
            margin of 0 means that it is more accurate.
        behind: Models that it was shown to be at most so much less accurate than, with the margins.
        rival: The equal that its costs are compared with.
        gains: Ratios of costs that were shown, in words.
        counts: Ratios of exact counts, in words.
    """

    task: str
    model: str
    equals: dict[str, float]
    behind: dict[str, float]
    rival: str = ""
    gains: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    is_synthetic: bool = False

    def describe(self) -> str:
        """Write a sentence on accuracy, and one on costs where there is something to say."""
        parts = []
        beaten = [name for name, margin in self.equals.items() if not margin]
        equals = {name: margin for name, margin in self.equals.items() if margin}
        if beaten:
            parts.append(f"is more accurate than {_join(beaten)}")
        if equals:
            parts.append(f"is at least as accurate as {_join(equals)} (within {_say_margin(equals)})")
        if self.behind:
            parts.append(f"is at most {_say_margin(self.behind)} less accurate than {_join(self.behind)}")
        said = f"{f'On {self.task} (synthetic data), ' if self.is_synthetic else ''}{self.model} {_join(parts)}."
        if self.gains:
            counts = f", with {_join(self.counts)}" if self.counts else ""
            return f"{said} Beside {self.rival} it {_join(self.gains)}{counts}."
        return f"{said} Beside {self.rival} it has {_join(self.counts)}." if self.counts else said


def list_standings(verdicts: Verdicts, results: Results) -> list[Standing]:
    """List the models of claims about accuracy with something to say, in the order of the claims."""
    compared = [j for j in verdicts.judgements if isinstance(j.claim, NonInferior | Equivalent)]
    compared = [j for j in compared if j.claim.metric == "test_accuracy"]  # type: ignore[union-attr]
    subjects = dict.fromkeys((j.claim.task, j.claim.model) for j in compared)  # type: ignore[union-attr]
    found = (_make_standing(*subject, verdicts, results) for subject in subjects)
    return [standing for standing in found if standing.equals or standing.behind]


def _make_standing(task: str, model: str, verdicts: Verdicts, results: Results) -> Standing:
    own = [j for j in verdicts.judgements if (j.claim.task, getattr(j.claim, "model", "")) == (task, model)]
    supported = [j for j in own if j.verdict is ClaimVerdict.supported]
    equals = _find_margins(j for j in supported if isinstance(j.claim, NonInferior))
    within = _find_margins(j for j in supported if isinstance(j.claim, Equivalent))
    doubted = {
        other
        for j in own
        if isinstance(j.claim, NonInferior) and j.verdict in (ClaimVerdict.refuted, ClaimVerdict.inconclusive)
        for other in j.claim.against
    }
    behind = {other: margin for other, margin in within.items() if other in doubted and other not in equals}
    equals |= {other: margin for other, margin in within.items() if other not in doubted and other not in equals}
    rival = next(iter(equals), "")
    counts = _compare_counts(task, model, rival, results)
    gains, is_synthetic = _list_gains(supported, rival), any(j.is_synthetic for j in own)
    return Standing(task, model, equals, behind, rival, tuple(gains), tuple(counts), is_synthetic)


def _find_margins(judgements: Iterable[Judgement]) -> dict[str, float]:
    """Find the smallest margin that was shown for each other model."""
    margins: dict[str, float] = {}
    for judged in judgements:
        assert isinstance(judged.claim, NonInferior | Equivalent)
        if judged.claim.metric == "test_accuracy":
            for other in judged.claim.against:
                margins[other] = min(judged.claim.margin, margins.get(other, 1.0))
    return margins


def _list_gains(supported: Sequence[Judgement], rival: str) -> list[str]:
    """Say by how much the model is cheaper than its rival, where that was shown; the first claim of each metric."""
    said: dict[str, str] = {}
    for judged in supported:
        claim = judged.claim
        if not (isinstance(claim, Ratio) and rival in claim.against and claim.metric in SAID and judged.finding):
            continue
        found = [c for c in judged.finding.comparisons if f" {rival} over " in f" {c.label} "]
        if found and claim.metric not in said:
            said[claim.metric] = " and ".join(_say_gain(claim.metric, c, judged.alpha) for c in found)
    return list(said.values())


def _say_gain(metric: str, comparison: Comparison, alpha: float) -> str:
    ratio = comparison.show(comparison.estimate.value, *comparison.estimate.compute_interval(alpha))
    where = f" on {comparison.kind}" if comparison.kind else ""
    return SAID[metric].format(ratio.removesuffix(" x")) + where


def _compare_counts(task: str, model: str, rival: str, results: Results) -> Iterable[str]:
    """Compare exact counts with those of the rival."""
    models = results.tasks[task].models if task in results.tasks else {}
    for name, what in COUNTED.items():
        own, its = (models[m].find("counts", name) if m in models else None for m in (model, rival))
        if own and its and own.value and its.value:
            yield f"{_say_ratio(own.value / its.value)} {what}"


def _say_ratio(ratio: float) -> str:
    return "as many" if 1 / EQUAL < ratio < EQUAL else f"{format_number(ratio)} x the"


def _say_margin(margins: dict[str, float]) -> str:
    points = 100 * max(margins.values())
    return f"{points:.3g} {'point' if round(points, 6) == 1 else 'points'}"


def _join(parts: Iterable[str]) -> str:
    *rest, last = parts
    return f"{', '.join(rest)} and {last}" if rest else last
