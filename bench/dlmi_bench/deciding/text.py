"""What a run says about its claims: how many are decided, and what the open ones wait for."""

from collections.abc import Sequence

from dlmi_bench.deciding.allocation import OpenClaim
from dlmi_bench.units import format_share
from dlmi_reports.claims.verdicts import ClaimVerdict, Verdicts

N_NAMED = 6


def describe_look(verdicts: Verdicts, waiting: Sequence[OpenClaim]) -> str:
    """Count the claims, and name the open ones with the seeds that they wait for."""
    n_decided = sum(judged.is_decided for judged in verdicts.judgements)
    open_ones = [j for j in verdicts.judgements if j.verdict is ClaimVerdict.inconclusive]
    n_settled = sum(map(verdicts.is_settled, open_ones))
    n_meter = sum(judged.needs_meter for judged in verdicts.judgements)
    names = {claim.id for claim in waiting}
    n_futile = sum(j.claim.id not in names and not verdicts.is_settled(j) for j in open_ones)
    parts = [f"{n_decided} of {len(verdicts.judgements)} claims decided"]
    parts += [f"{n_settled} open, but shown to be equivalent"] if n_settled else []
    parts += [f"{n_futile} open that more seeds would hardly decide"] if n_futile else []
    parts += [f"{n_meter} need a meter of joules"] if n_meter else []
    parts += [f"{len(waiting)} wait for seeds: {_name(waiting)}"] if waiting else []
    return "claims: " + "; ".join(parts)


def _name(waiting: Sequence[OpenClaim]) -> str:
    likely = sorted(waiting, key=lambda claim: -max(claim.chances.values()))
    said = [
        f"{claim.id} ({claim.next_look} seeds of {', '.join(sorted({arm.model for arm in claim.arms}))}, "
        f"{format_share(max(claim.chances.values()))})"
        for claim in likely[:N_NAMED]
    ]
    more = f" and {len(likely) - N_NAMED} more" if len(likely) > N_NAMED else ""
    return ", ".join(said) + more
