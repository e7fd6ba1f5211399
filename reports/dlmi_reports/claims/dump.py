"""Verdicts as JSON."""

import math

from pydantic import JsonValue

from dlmi_bench.stats.estimates import Exact
from dlmi_reports.claims.comparisons import Comparison
from dlmi_reports.claims.verdicts import Judgement, Verdicts


def to_json(verdicts: Verdicts) -> JsonValue:
    """Convert to JSON. A comparison whose scale is `log` holds the natural logarithm of a ratio."""
    return {
        "alpha": verdicts.alpha,
        "n_tested": verdicts.n_tested,
        "looks": list(verdicts.looks),
        "exit_code": verdicts.exit_code,
        "families": [
            {"id": f.family.id, "title": f.family.title, "alpha": f.alpha, "n_tested": f.n_tested}
            for f in verdicts.families
        ],
        "claims": [_dump(judged) for judged in verdicts.judgements],
    }


def _dump(judged: Judgement) -> JsonValue:
    claim, comparisons = judged.claim, judged.finding.comparisons if judged.finding else ()
    return {
        "id": claim.id,
        "kind": claim.kind,
        "family": claim.family,
        "role": claim.role,
        "verdict": judged.verdict.value,
        "sentence": claim.sentence,
        "source": claim.source,
        "evidence": list(judged.evidence),
        "decides": judged.decides,
        "bound": judged.bound,
        "p_corrected": judged.p,
        "n_seeds": judged.n_seeds,
        "is_synthetic": judged.is_synthetic,
        "needs_meter": judged.needs_meter,
        "nearest": claim.nearest,
        "beside": claim.beside,
        "comparisons": [_dump_comparison(c, judged.alpha) for c in comparisons],
    }


def _dump_comparison(comparison: Comparison, alpha: float) -> JsonValue:
    estimate = comparison.estimate
    found = (estimate.value, *estimate.compute_interval(alpha))
    value, lo, hi = (x if math.isfinite(x) else None for x in found)
    return {
        "what": comparison.subject,
        "value": value,
        "lo": lo,
        "hi": hi,
        "threshold": comparison.threshold,
        "scale": comparison.show.__name__.removeprefix("show_"),
        "is_exact": isinstance(estimate, Exact),
        "p_support": comparison.p[0],
        "p_refute": comparison.p[1],
    }
