"""Verdicts on claims. Every claim is tested, and all tests of a file are corrected together."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.stats.estimates import Exact
from dlmi_bench.stats.intervals import compute_holm
from dlmi_bench.store import Store
from dlmi_bench.units import format_count
from dlmi_reports.claims.comparisons import Comparison, Finding
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.file import ClaimFile, find_claims, load_claims, select_claims
from dlmi_reports.claims.kinds import Claim
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.answers import UnmeasuredError
from dlmi_reports.results.load import Results, load_results


class ClaimVerdict(StrEnum):
    supported = "SUPPORTED"
    refuted = "REFUTED"
    inconclusive = "INCONCLUSIVE"
    not_measured = "NOT MEASURED"


# The worst verdict of a file decides, in this order; the numbers are those of the gate.
EXIT_CODES = {
    ClaimVerdict.refuted: 10,
    ClaimVerdict.not_measured: 12,
    ClaimVerdict.inconclusive: 11,
    ClaimVerdict.supported: 0,
}


@dataclass(frozen=True)
class Judgement:
    """A verdict with its evidence.

    Attributes:
        evidence: Figures with intervals, or the reason why there are none.
        decides: How to decide an INCONCLUSIVE claim, or the command that measures a NOT MEASURED one.
        p: Holm's p-value of the side that the estimate is on; None if nothing was tested.
        is_synthetic: Whether the data is synthetic.
    """

    claim: Claim
    verdict: ClaimVerdict
    evidence: tuple[str, ...]
    decides: str = ""
    p: float | None = None
    finding: Finding | None = None
    is_synthetic: bool = False


@dataclass(frozen=True)
class Verdicts:
    """All claims of a file, judged together."""

    judgements: tuple[Judgement, ...]
    alpha: float
    n_tested: int

    def get(self, name: str) -> Judgement:
        return next(j for j in self.judgements if j.claim.id == name)

    @property
    def exit_code(self) -> int:
        found = {judgement.verdict for judgement in self.judgements}
        return next((code for verdict, code in EXIT_CODES.items() if verdict in found), 0)

    def count(self, verdict: ClaimVerdict) -> int:
        return sum(judgement.verdict is verdict for judgement in self.judgements)


def judge_store(store: Store, path: Path | None = None) -> Verdicts:
    """Judge the claims of a file with the results of a store; without one, those of `choose_claims`.

    Raises:
        StoreError: no finished cell, or a damaged file.
        UsageError: the file is wrong.
    """
    results = load_results(store)
    return judge_claims(load_claims(path) if path else choose_claims(results), results)


def choose_claims(results: Results) -> ClaimFile:
    """Choose the claims that the folder of the results holds, otherwise the course's about its tasks.

    Raises:
        UsageError: the file in the folder is wrong.
    """
    own = find_claims(results.folder)
    return load_claims(own) if own else select_claims(load_claims(), results.tasks)


def _find_command(claim: OnTask, results: Results) -> str:
    """Find what measures a claim: the study that its task came from, or a command that names task and models."""
    tasks = [results.tasks[name] for name in claim.list_population("task") if name in results.tasks]
    own = [plugin.name for task in tasks for plugin in task.provenance.plugins]
    return f"run {own[0]} again with five seeds or more and all measures" if own else claim.command


def judge_claims(file: ClaimFile, results: Results) -> Verdicts:
    """Judge every claim of a file.

    Exact counts and composite claims are not tests; all other claims form one family. Holm's correction keeps the
    probability that any SUPPORTED is wrong at alpha / 2, and likewise for REFUTED.
    """
    evidence = Evidence(results, file.alpha)
    found: dict[str, Finding] = {}
    judged: dict[str, Judgement] = {}
    for claim in file.claim:
        if not isinstance(claim, OnTask):
            continue
        try:
            finding = claim.find(evidence)
            found[claim.id] = replace(finding, notes=(*finding.notes, *evidence.list_doubts(claim)))
        except UnmeasuredError as gap:
            judged[claim.id] = Judgement(
                claim, ClaimVerdict.not_measured, (gap.cause,), gap.remedy or _find_command(claim, results)
            )
    tested = [name for name, finding in found.items() if not finding.is_exact]
    support = dict(zip(tested, compute_holm([found[name].p_support for name in tested]), strict=True))
    refute = dict(zip(tested, compute_holm([found[name].p_refute for name in tested]), strict=True))
    for claim in file.claim:
        if claim.id in found:
            finding, level = found[claim.id], (claim.alpha or file.alpha) / 2
            p = support.get(claim.id, finding.p_support), refute.get(claim.id, finding.p_refute)
            n_open = [sum(q > file.alpha / 2 for q in family.values()) for family in (support, refute)]
            judged[claim.id] = _judge(claim, finding, p, level, n_open, is_synthetic=evidence.is_synthetic(claim.task))
    for claim in file.claim:
        if claim.parts:
            judged[claim.id] = _combine(claim, [judged[part] for part in claim.parts])
    return Verdicts(tuple(judged[claim.id] for claim in file.claim), file.alpha, len(tested))


def _judge(
    claim: Claim, finding: Finding, p: tuple[float, float], level: float, n_open: list[int], *, is_synthetic: bool
) -> Judgement:
    lines = tuple(c.describe(2 * level) for c in finding.comparisons) + finding.notes
    decides = ""
    if p[0] <= level:
        verdict = ClaimVerdict.supported
    elif p[1] <= level:
        verdict = ClaimVerdict.refuted
    else:
        verdict = ClaimVerdict.inconclusive
        decides = _find_decider(finding, level, n_open)
        if min(finding.p_support, finding.p_refute) <= level:
            decides = f"significant on its own, but not after correction for all claims of the file; {decides}"
    shown = None if finding.is_exact else min(p)
    return Judgement(claim, verdict, lines, decides, shown, finding, is_synthetic)


def _find_decider(finding: Finding, level: float, n_open: list[int]) -> str:
    """Find how many seeds, examples or processes would decide, if estimates and correction do not change."""
    is_for = all(c.estimate.value > c.threshold for c in finding.comparisons)
    if is_for:
        alpha = level / max(1, n_open[0])
        wanting = [c for c in finding.comparisons if c.p[0] > alpha]
    else:
        alpha = level / max(1, n_open[1]) / len(finding.comparisons)
        wanting = [min(finding.comparisons, key=lambda c: c.p[1])]
    if not all(c.may_refute for c in wanting) and not is_for:
        return "first decide whether the accuracies are comparable"
    needed = [c.estimate.find_needed(c.threshold, alpha) for c in wanting]
    ways = [what for what in (needed[0] if needed else {}) if all(what in n for n in needed)]
    if not ways:
        return "the estimate is so close to the limit that no number of seeds or examples would decide"
    enough = " or ".join(f"{format_count(max(n[what] for n in needed))} {what}" for what in ways)
    return f"{enough} would decide, if the estimate does not change"


def _combine(claim: Claim, parts: list[Judgement]) -> Judgement:
    """Judge a composite claim: one refuted part refutes it; all parts must be supported to support it."""
    for verdict in EXIT_CODES:
        having = [part for part in parts if part.verdict is verdict]
        if having:
            break
    names = ", ".join(part.claim.id for part in having)
    decides = "" if verdict in (ClaimVerdict.supported, ClaimVerdict.refuted) else f"see {names}"
    line = f"{names}: {verdict}" if len(having) < len(parts) else f"all of {names}"
    return Judgement(claim, verdict, (line,), decides, is_synthetic=any(part.is_synthetic for part in parts))


def to_json(verdicts: Verdicts) -> JsonValue:
    """Convert to JSON. A comparison whose scale is `log` holds the natural logarithm of a ratio."""
    return {
        "alpha": verdicts.alpha,
        "n_tested": verdicts.n_tested,
        "correction": "holm",
        "exit_code": verdicts.exit_code,
        "claims": [
            {
                "id": j.claim.id,
                "kind": j.claim.kind,
                "verdict": j.verdict.value,
                "sentence": j.claim.sentence,
                "source": j.claim.source,
                "evidence": list(j.evidence),
                "decides": j.decides,
                "p_holm": j.p,
                "is_synthetic": j.is_synthetic,
                "nearest": j.claim.nearest,
                "beside": j.claim.beside,
                "comparisons": [_dump(c, verdicts.alpha) for c in j.finding.comparisons] if j.finding else [],
            }
            for j in verdicts.judgements
        ],
    }


def _dump(comparison: Comparison, alpha: float) -> JsonValue:
    estimate = comparison.estimate
    found = (estimate.value, *estimate.compute_interval(alpha))
    value, lo, hi = (x if math.isfinite(x) else None for x in found)
    return {
        "what": comparison.label,
        "value": value,
        "lo": lo,
        "hi": hi,
        "threshold": comparison.threshold,
        "scale": comparison.show.__name__.removeprefix("show_"),
        "is_exact": isinstance(estimate, Exact),
        "p_support": comparison.p[0],
        "p_refute": comparison.p[1],
    }
