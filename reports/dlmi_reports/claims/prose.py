"""Text about claims, rendered from their verdicts, so that it always agrees with what was found."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap

from dlmi_bench.units import clean_line, format_share
from dlmi_reports.claims.file import NAME
from dlmi_reports.claims.verdicts import ClaimVerdict, JudgedFamily, Judgement, Verdicts
from dlmi_reports.structure import Table

WIDTH = 80  # columns
VERDICT_WIDTH = 14
NO_CLAIMS = (
    "No claims were stated for these tasks; write them in a TOML file and judge them with dlmi-bench claims --file, or "
    f"keep it as {NAME} in the folder of the results."
)
CAPTION = (
    "REFUTED: the data contradict the claim. INCONCLUSIVE: the data neither support nor contradict it. If a claim has "
    "several comparisons, the table shows the one that decides; the text below lists all of them, and the source of "
    "each claim."
)
NO_METER = "Claims that this machine cannot measure"


def format_verdicts(verdicts: Verdicts) -> str:
    """Write each claim as plain text: its verdict and name, the evidence, and what to do next."""
    lines = []
    for family in verdicts.families:
        if family.family.title:
            lines += ["", *wrap(clean_line(family.family.title), WIDTH)]
        for judgement in family.judgements:
            lines += _format_judgement(judgement, verdicts)
    said = [line for text in describe_families(verdicts) for line in wrap(text, WIDTH)]
    return "\n".join([*lines[lines[:1] == [""] :], *([""] if lines else []), *said])


def _format_judgement(judgement: Judgement, verdicts: Verdicts) -> list[str]:
    indent = " " * VERDICT_WIDTH
    mark = " (SYNTHETIC DATA)" if judgement.is_synthetic else ""
    lines = [f"{judgement.verdict.value:<{VERDICT_WIDTH}}{judgement.claim.id}{mark}"]
    for text in (*judgement.evidence, describe_next(judgement, verdicts)):
        lines += wrap(clean_line(text), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
    return lines


def describe_families(verdicts: Verdicts) -> list[str]:
    """Count the verdicts, and say of each family what its correction guarantees."""
    return [count_verdicts(verdicts), *(describe_family(f, verdicts) for f in verdicts.families if f.n_tested)]


def count_verdicts(verdicts: Verdicts) -> str:
    """Count the verdicts, and say what the brackets hold."""
    if not verdicts.judgements:
        return NO_CLAIMS
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ClaimVerdict)
    open_ones = [j for j in verdicts.judgements if j.verdict is ClaimVerdict.inconclusive]
    settled = sum(map(verdicts.is_settled, open_ones))
    more = f" Of the INCONCLUSIVE, {settled} come with a supported statement of equivalence." if settled else ""
    looks = ", ".join(map(str, verdicts.looks))
    brackets = f"Brackets hold {format_share(1 - verdicts.alpha)} intervals" + (
        f"; those of seeds allow for looks at {looks} seeds." if looks else ", which are not corrected for each other."
    )
    n = len(verdicts.judgements)
    return f"{n} {'claim' if n == 1 else 'claims'}: {counts}.{more} {brackets}"


def describe_family(family: JudgedFamily, verdicts: Verdicts) -> str:
    """Say what the correction of a family guarantees."""
    tested = [j for j in family.judgements if j.p is not None]
    n_primary = sum(j.claim.role == "primary" for j in tested)
    is_mixed = 0 < n_primary < len(tested)
    kinds = f" ({n_primary} of primary claims, which share four fifths of the level)" if is_mixed else ""
    name = f"Family {family.family.id}: {len(tested)}" if family.family.id else f"{len(tested)}"
    tests = f"{name} {'test' if len(tested) == 1 else 'tests'}{kinds}"
    how = "passing on the level of what is decided" if is_mixed else "Holm"
    looks = ", over all looks" if verdicts.looks else ""
    return (
        f"{tests}, corrected together ({how}): the probability of any wrong SUPPORTED or REFUTED is at most "
        f"{format_share(family.alpha)}{looks}."
    )


def describe_judgement(judgement: Judgement, verdicts: Verdicts) -> str:
    """Write the claim's sentence if it holds; if not, the verdict, the reason, and what holds instead."""
    claim = judgement.claim
    mark = "SYNTHETIC DATA: " if judgement.is_synthetic else ""
    evidence = "; ".join(judgement.evidence)
    if judgement.verdict is ClaimVerdict.supported:
        return f"{mark}{claim.sentence} ({evidence}.)"
    if judgement.verdict is ClaimVerdict.refuted:
        return f"{mark}Refuted: “{claim.sentence}” ({evidence}.) {_describe_nearest(judgement, verdicts)}".rstrip()
    if judgement.verdict is ClaimVerdict.inconclusive:
        return f"{mark}Open: “{claim.sentence}” ({evidence}.) {_describe_open(judgement, verdicts)}"
    return f"{mark}Not measured: “{claim.sentence}” ({evidence}.) {_describe_remedy(judgement, verdicts)}"


def _describe_nearest(judgement: Judgement, verdicts: Verdicts) -> str:
    if not judgement.claim.nearest:
        return ""
    nearest = verdicts.get(judgement.claim.nearest)
    if nearest.verdict is ClaimVerdict.supported:
        return f"What holds: {nearest.claim.sentence}"
    return f"The nearest claim, {nearest.claim.id}, is {nearest.verdict} itself."


def _describe_open(judgement: Judgement, verdicts: Verdicts) -> str:
    """Say what holds of an open claim, and what would decide it."""
    nearest = judgement.claim.nearest
    if nearest and verdicts.get(nearest).verdict is ClaimVerdict.supported:
        holds = _describe_nearest(judgement, verdicts)
    else:
        holds = f"What holds: {judgement.bound}." if judgement.bound else ""
    decides = f"{judgement.decides[:1].upper()}{judgement.decides[1:]}."
    return f"{holds} {decides}".strip()


def _describe_remedy(judgement: Judgement, verdicts: Verdicts) -> str:
    said = [f"To measure it: {judgement.decides}."]
    if name := judgement.claim.beside:
        said.append(f"See also {name}, {verdicts.get(name).verdict}.")
    return " ".join(said)


def describe_next(judgement: Judgement, verdicts: Verdicts) -> str:
    """Say what to do about a claim that is not supported, and what holds instead."""
    if judgement.verdict is ClaimVerdict.refuted:
        return _describe_nearest(judgement, verdicts)
    if judgement.verdict is ClaimVerdict.not_measured:
        return _describe_remedy(judgement, verdicts)
    return _describe_open(judgement, verdicts) if judgement.verdict is ClaimVerdict.inconclusive else ""


def describe_evidence(judgement: Judgement) -> str:
    """Write the comparison that decides the verdict, and count the others."""
    comparisons = judgement.finding.comparisons if judgement.finding else ()
    side = (
        (lambda i: comparisons[i].p[1])
        if judgement.verdict is ClaimVerdict.refuted
        else (lambda i: -comparisons[i].p[0])
    )
    found = judgement.evidence[min(range(len(comparisons)), key=side, default=0)]
    n_more = len(judgement.evidence) - 1
    mark = "SYNTHETIC DATA: " if judgement.is_synthetic else ""
    return f"{mark}{found}" + (f"; {n_more} more below" if n_more else "")


def make_claim_tables(verdicts: Verdicts, notes: Mapping[str, Sequence[str]] = {}) -> list[Table]:
    """Make a table for each family, one row per claim, and one of the claims that need a meter of joules.

    Args:
        notes: Remarks to show beside the verdicts, by claim.
    """
    tables = []
    for family in verdicts.families:
        title = family.family.title or "Verdicts"
        measured = [judgement for judgement in family.judgements if not judgement.needs_meter]
        tables += [_make_table(title, measured, verdicts, notes)] if measured else []
    unmeasured = [judgement for judgement in verdicts.judgements if judgement.needs_meter]
    return tables + ([_make_table(NO_METER, unmeasured, verdicts, notes)] if unmeasured else [])


def _make_table(
    title: str, judgements: Iterable[Judgement], verdicts: Verdicts, notes: Mapping[str, Sequence[str]]
) -> Table:
    rows = [
        [
            _name(j),
            "; ".join([j.verdict.value, *notes.get(j.claim.id, ())]),
            j.claim.sentence,
            describe_evidence(j),
            describe_next(j, verdicts),
        ]
        for j in judgements
    ]
    return Table(title, CAPTION, ["claim", "verdict", "claimed", "evidence", "what holds, what would decide it"], rows)


def _name(judgement: Judgement) -> str:
    return judgement.claim.id + (" (secondary)" if judgement.claim.role == "secondary" else "")


def list_sentences(verdicts: Verdicts) -> list[str]:
    """Write every claim in words, with all of its evidence, its corrected p-value if it is a test, and its source."""
    return [
        f"{j.claim.id}: {describe_judgement(j, verdicts)}"
        + ("" if j.p is None else f" Corrected p {j.p:.2g}.")
        + f" Source: {j.claim.source}."
        for j in verdicts.judgements
    ]
