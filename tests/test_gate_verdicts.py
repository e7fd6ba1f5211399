"""Verdicts, exit codes and who may be compared with whom."""

import pytest

from dlmi_bench.gating.latency.identity import find_incomparable
from dlmi_bench.gating.verdicts import WORST_FIRST, Decision, Verdict, compute_exit_code, format_decided, judge_closed

STATED = ("backend", "batch", "precision", "provider", "shape", "threads")
IDENTITY = dict.fromkeys(STATED, "x")
RED = Decision("m", Verdict.REGRESSED, "slow", look=1, n_processes=3)


@pytest.mark.parametrize("key", STATED)
def test_other_identity_is_incomparable(key: str) -> None:
    """Two threads, another batch or precision: another benchmark, not a regression; nor may one leave it unstated."""
    assert find_incomparable({"m": IDENTITY}, {"m": IDENTITY}) == []
    (changed,) = find_incomparable({"m": IDENTITY}, {"m": IDENTITY | {key: "y"}})
    assert (changed.verdict, changed.why) == (Verdict.INCOMPARABLE, f"another benchmark: {key} x -> y")
    partial = {k: v for k, v in IDENTITY.items() if k != key}
    (unstated,) = find_incomparable({"m": partial}, {"m": partial})
    assert (unstated.verdict, key in unstated.why) == (Verdict.INCOMPARABLE, True)


def test_vanished_and_renamed_are_never_silent() -> None:
    """A benchmark on one side only gets a decision, with what it may have been renamed to."""
    vanished, added = find_incomparable({"old": IDENTITY}, {"new": IDENTITY})
    assert (vanished.name, vanished.verdict, added.name, added.verdict) == (
        "old",
        "INCOMPARABLE",
        "new",
        "INCOMPARABLE",
    )
    assert "renamed to new" in vanished.why
    assert compute_exit_code([vanished, Decision("m", Verdict.PASS)]) == 12


def test_exit_codes_as_published() -> None:
    """0 passes, 10 is slower, 11 undecided, 12 not comparable, 13 not valid; every verdict has one of them."""
    codes = {verdict.value: verdict.exit_code for verdict in Verdict}
    assert codes == {"PASS": 0, "IMPROVED": 0, "SAME": 0, "REGRESSED": 10, "INCONCLUSIVE": 11} | {
        "SUSPICIOUS_IMPROVEMENT": 11, "INCOMPARABLE": 12, "INVALID": 13
    }  # fmt: skip
    assert set(codes.values()) == set(WORST_FIRST)


def test_suite_is_as_bad_as_its_worst() -> None:
    """13 before 10 before 12 before 11 before 0, and a suite of nothing is 13."""
    names = ("PASS", "INCONCLUSIVE", "INCOMPARABLE", "REGRESSED", "INVALID")
    decisions = [Decision("m", Verdict(name)) for name in names]
    assert [compute_exit_code(decisions[:n]) for n in range(6)] == [13, 0, 11, 12, 10, 13]
    assert format_decided(decisions) == "2 of 5 decided"


def test_decision_starts_invalid() -> None:
    """Nothing but evidence upgrades it."""
    assert Decision("m").verdict is Verdict.INVALID


def test_anything_raised_is_invalid() -> None:
    """An exception while judging is a reason, never a pass; a decision goes through as it is."""

    def fail() -> Decision:
        raise ZeroDivisionError("worker died")

    assert judge_closed("m", fail) == Decision("m", Verdict.INVALID, "ZeroDivisionError: worker died")
    assert judge_closed("m", lambda: RED) is RED
