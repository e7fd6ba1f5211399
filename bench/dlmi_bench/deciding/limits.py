"""How far an experiment may go: time, seeds, and models."""

import re
from dataclasses import dataclass
from pathlib import Path

from dlmi_bench.deciding.arms import Arm
from dlmi_bench.errors import UsageError
from dlmi_bench.stats.looks import LOOKS
from dlmi_bench.suite.suites import Suite, select_models
from dlmi_bench.units import format_left
from dlmi_reports.claims.file import ClaimFile, find_claims, load_claims

BUDGET_S = 2700.0  # where the user names none
SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Limits:
    """Limits of an experiment.

    Attributes:
        budget_s: Time for the seeds that the claims need [s]; no training begins after it.
        max_seeds: Seeds of each model.
        allowed: Arms beyond which none is trained; None for any that a claim names.
    """

    budget_s: float = BUDGET_S
    max_seeds: int = LOOKS[-1]
    allowed: frozenset[Arm] | None = None


def choose_limits(
    suite: Suite, folder: Path, budget_s: float | None, max_seeds: int | None, *, is_asked: bool, is_named: bool
) -> Limits | None:
    """Choose the limits: what the user says, else the suite's budget; None where nothing is to be decided.

    Args:
        folder: That of the results, whose claims of its own may have no looks.
        is_asked: Whether the user wants claims decided, so that claims without looks are an error.
        is_named: Whether the user named the models, so that no others are trained.

    Raises:
        UsageError: the claims in the folder have no looks, or are wrong.
    """
    own = find_claims(folder)
    if own and is_asked:
        check_looks(load_claims(own))
    if not is_asked and (not suite.budget_s or (own and not load_claims(own).looks)):
        return None
    return Limits(
        budget_s if budget_s is not None else suite.budget_s or BUDGET_S,
        max_seeds or LOOKS[-1],
        list_allowed(suite) if is_named else None,
    )


def announce(limits: Limits) -> str:
    """Say before a run what comes after its own cells, of which it tells the time itself."""
    left = format_left(limits.budget_s)
    return f"in the end: the seeds that the claims need until they are decided, for at most {left}"


def list_allowed(suite: Suite) -> frozenset[Arm]:
    """List the arms of a suite, where the user named its models."""
    return frozenset(Arm(task, model) for task in suite.tasks for model in select_models(suite, task))


def parse_duration(text: str) -> float:
    """Parse a time such as 45m, 90s or 1.5h [s].

    Raises:
        UsageError: not of that form.
    """
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh])", text.strip())
    if not found:
        raise UsageError(f"--budget {text[:40]}: not a time", "for instance --budget 45m, 90s or 1.5h")
    return float(found.group(1)) * SECONDS[found.group(2)]


def check_looks(file: ClaimFile) -> None:
    """Check that the claims say at which numbers of seeds they are judged.

    Raises:
        UsageError: they do not, so that adding seeds until they hold would make wrong ones hold.
    """
    if not file.looks:
        line = f"looks = {list(LOOKS)}"
        raise UsageError(
            "--until-decided: the claims have no looks, so nothing pays for judging them repeatedly",
            f"add a line to the file of claims, above the first one: {line}",
        )
