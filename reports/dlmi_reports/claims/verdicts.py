"""Verdicts on claims. Every claim is tested; the tests of a family, and the looks at each claim, are corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from dlmi_bench.store import Store
from dlmi_bench.units import format_count, format_share
from dlmi_reports.claims.comparisons import Finding
from dlmi_reports.claims.correction import CorrectedTest, correct_family
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.file import ClaimFile, Family, find_claims, load_claims, select_claims
from dlmi_reports.claims.kinds import Claim, TestedClaim
from dlmi_reports.claims.looks import FUTILE, Course, follow
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.arrays import UnmeasuredError
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
        p: P-value, corrected for looks and family, of the side that the estimate is on; None if nothing was tested.
        is_synthetic: Whether the data is synthetic.
        n_seeds: Seeds at the look that the evidence is from; 0 where seeds are not what is sampled.
        bound: Of an INCONCLUSIVE claim, what its interval leaves; all of a family's bounds hold together.
        chances: Of an INCONCLUSIVE claim, how probably each later look decides it.
        needs_meter: Whether only a machine that measures joules can judge it.
        alpha: Level of the intervals in its evidence: two-sided, with the look's share.
    """

    claim: Claim
    verdict: ClaimVerdict
    evidence: tuple[str, ...]
    decides: str = ""
    p: float | None = None
    finding: Finding | None = None
    is_synthetic: bool = False
    n_seeds: int = 0
    bound: str = ""
    chances: tuple[tuple[int, float], ...] = ()
    needs_meter: bool = False
    alpha: float = 0.05

    @property
    def is_decided(self) -> bool:
        return self.verdict in (ClaimVerdict.supported, ClaimVerdict.refuted)


@dataclass(frozen=True)
class JudgedFamily:
    """Claims that were corrected together."""

    family: Family
    alpha: float
    judgements: tuple[Judgement, ...]

    @property
    def n_tested(self) -> int:
        return sum(judgement.p is not None for judgement in self.judgements)


@dataclass(frozen=True)
class Verdicts:
    """All claims of a file, judged by family; `looks` are those that were planned."""

    families: tuple[JudgedFamily, ...]
    alpha: float
    looks: tuple[int, ...] = ()

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        return tuple(judgement for family in self.families for judgement in family.judgements)

    @property
    def n_tested(self) -> int:
        return sum(family.n_tested for family in self.families)

    def get(self, name: str) -> Judgement:
        return next(j for j in self.judgements if j.claim.id == name)

    def is_settled(self, judgement: Judgement) -> bool:
        """Tell whether a claim is decided, or a statement of equivalence that it names as nearest is supported."""
        nearest = judgement.claim.nearest
        if judgement.is_decided or not nearest:
            return judgement.is_decided
        return self.get(nearest).claim.kind in EQUIVALENCES and self.get(nearest).verdict is ClaimVerdict.supported

    @property
    def exit_code(self) -> int:
        found = {judgement.verdict for judgement in self.judgements}
        return next((code for verdict, code in EXIT_CODES.items() if verdict in found), 0)

    def count(self, verdict: ClaimVerdict) -> int:
        return sum(judgement.verdict is verdict for judgement in self.judgements)


EQUIVALENCES = ("equivalent", "bounded")


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

    The course claims nothing of scans of which something else is asked.

    Raises:
        UsageError: the file in the folder is wrong.
    """
    own = find_claims(results.folder)
    asked = [name for name, task in results.tasks.items() if not task.provenance.data.question]
    return load_claims(own) if own else select_claims(load_claims(), asked)


def _find_command(claim: OnTask, results: Results) -> str:
    """Find what measures a claim: the study that its task came from, or a command that names task and models."""
    tasks = [results.tasks[name] for name in claim.list_population("task") if name in results.tasks]
    own = [plugin.name for task in tasks for plugin in task.provenance.plugins]
    return f"run {own[0]} again with five seeds or more and all measures" if own else claim.command


def judge_claims(file: ClaimFile, results: Results) -> Verdicts:
    """Judge every claim of a file with the results of a store."""
    evidence = Evidence(results, file.alpha)
    courses: dict[str, Course] = {}
    unmeasured: list[Judgement] = []
    for claim in file.claim:
        if not isinstance(claim, OnTask):
            continue
        try:
            courses[claim.id] = follow(claim, evidence, file.looks)
        except UnmeasuredError as gap:
            remedy = gap.remedy or _find_command(claim, results)
            unmeasured.append(
                Judgement(claim, ClaimVerdict.not_measured, (gap.cause,), remedy, needs_meter=claim.needs_meter)
            )
    return judge_courses(file, courses, unmeasured)


def judge_courses(file: ClaimFile, courses: Mapping[str, Course], unmeasured: Sequence[Judgement] = ()) -> Verdicts:
    """Judge every claim of a file by the looks at it.

    Exact counts and composite claims are not tests. All others are corrected by family, so that the probability that
    any SUPPORTED of it is wrong is at most alpha / 2, and likewise for REFUTED, over all looks.

    Args:
        courses: Looks at each claim by its id.
        unmeasured: Judgements of the claims that have none.
    """
    judged = {gap.claim.id: gap for gap in unmeasured}
    for family in file.families:
        claims = [c for c in file.claim if isinstance(c, OnTask) and c.family == family.id and c.id in courses]
        judged |= _judge_family(claims, courses, file.get_alpha(family.id))
    for claim in file.claim:
        if claim.parts:
            judged[claim.id] = _combine(claim, [judged[part] for part in claim.parts])
    families = tuple(
        JudgedFamily(family, file.get_alpha(family.id), found)
        for family in file.families
        if (found := tuple(judged[claim.id] for claim in file.claim if claim.family == family.id))
    )
    return Verdicts(families, file.alpha, file.looks)


def _judge_family(claims: list[TestedClaim], courses: Mapping[str, Course], alpha: float) -> dict[str, Judgement]:
    """Judge the claims of one family that have evidence."""
    tests = correct_family(claims, courses, alpha)
    findings = [courses[claim.id].last.finding for claim in claims]
    n_compared = sum(len(finding.comparisons) for finding in findings if not finding.is_exact)
    found = {}
    for claim in claims:
        made = _judge(claim, courses[claim.id], tests[claim.id])
        if made.verdict is ClaimVerdict.inconclusive and made.p is not None:
            made = _explain(made, courses[claim.id], tests[claim.id], n_compared)
        found[claim.id] = made
    return found


def _judge(claim: TestedClaim, course: Course, test: CorrectedTest) -> Judgement:
    """Judge one claim by its test; the evidence is that of the look that decided, or says most."""
    look = course.find_decisive(test.side) if test.is_decided else course.find_narrowest(2 * test.level)
    finding, alpha = look.finding, 2 * test.level * look.share
    return Judgement(
        claim,
        (ClaimVerdict.supported, ClaimVerdict.refuted)[test.side] if test.is_decided else ClaimVerdict.inconclusive,
        tuple(c.describe(alpha) for c in finding.comparisons) + finding.notes,
        p=None if finding.is_exact else min(test.p),
        finding=finding,
        is_synthetic=course.is_synthetic,
        n_seeds=look.n_seeds if finding.samples_seeds else 0,
        alpha=alpha,
    )


def _explain(judged: Judgement, course: Course, test: CorrectedTest, n_compared: int) -> Judgement:
    """Say of an open claim what its interval leaves, what would decide it and how probably that will happen."""
    look = course.find_narrowest(2 * test.level)
    alpha = 2 * test.level / n_compared * look.share
    bound = "; ".join(c.describe_bound(alpha) for c in look.finding.comparisons)
    chances = course.list_chances(test.now)
    best = max(chances.values(), default=0.0)
    if chances and best < FUTILE:
        decides = f"{max(chances)} seeds, the last planned look, would hardly decide it ({format_share(best)})"
    else:
        decides = _find_decider(look.finding, (test.now[0] * look.share, test.now[1] * look.share))
    if min(course.p) <= test.level:
        decides = f"significant on its own, but not after correction for its family; {decides}"
    return replace(judged, bound=bound, decides=decides, chances=tuple(chances.items()))


def _find_decider(finding: Finding, levels: tuple[float, float]) -> str:
    """Find how many seeds, examples or processes would decide, if estimates and correction do not change."""
    is_for = all(c.p[0] < c.p[1] for c in finding.comparisons)
    if is_for:
        alpha = levels[0]
        wanting = [c for c in finding.comparisons if c.p[0] > alpha]
    else:
        alpha = levels[1] / len(finding.comparisons)
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
    is_decided = verdict in (ClaimVerdict.supported, ClaimVerdict.refuted)
    return Judgement(
        claim,
        verdict,
        (f"{names}: {verdict}" if len(having) < len(parts) else f"all of {names}",),
        "" if is_decided else f"see {names}",
        is_synthetic=any(part.is_synthetic for part in parts),
        needs_meter=all(part.needs_meter for part in having),
    )
