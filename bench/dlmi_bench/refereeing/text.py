"""Verdicts of a referee as rows and as text."""

import re
from textwrap import wrap

from dlmi_bench.refereeing.checks import ALPHA
from dlmi_bench.refereeing.session import Refereed, RefereedModel
from dlmi_bench.units import format_percent

WIDTH = 80
GAP, NO_BREAK = re.compile(r"(?<=\d) (?=\d{3}\b)"), "\N{NO-BREAK SPACE}"  # between thousands
INDENT = " " * 22  # what was found stands under itself


def list_rows(refereed: Refereed) -> list[dict[str, object]]:
    """List a row for each check of each model."""
    return [
        {"model": model.model, **check.model_dump(mode="json")} for model in refereed.models for check in model.checks
    ]


def format_refereed(refereed: Refereed) -> str:
    """Write the checks of each model, in 80 columns."""
    origin = "drawn for this run" if refereed.is_drawn else "named by --nonce, so known before"
    head = f"{refereed.task}, disguised by nonce {refereed.nonce} ({origin}); {refereed.n_seeds} seeds each way"
    parts = [*wrap(head, WIDTH), ""]
    for model in refereed.models:
        parts += [*_list_lines(model), ""]
    level = f"Brackets: 90 % intervals; a verdict of disguise errs with probability {format_percent(ALPHA, 0)} %."
    return "\n".join([*parts, *wrap(f"{_summarise(refereed)} {level}", WIDTH)])


def _list_lines(model: RefereedModel) -> list[str]:
    if model.failure:
        return [model.model, *wrap(f"failed: {model.failure}", WIDTH, initial_indent="  ", subsequent_indent="  ")]
    lines = [model.model]
    for check in model.checks:
        first = f"  {check.check:<8}  {check.verdict:<9} "
        kept = GAP.sub(NO_BREAK, check.said)  # no line ends within a number
        lines += [line.replace(NO_BREAK, " ") for line in wrap(f"{first} {kept}", WIDTH, subsequent_indent=INDENT)]
    return lines


def _summarise(refereed: Refereed) -> str:
    n = len(refereed.models)
    n_found = sum(any(check.verdict == "FOUND" for check in model.checks) for model in refereed.models)
    n_failed = sum(bool(model.failure) for model in refereed.models)
    n_open = sum(any(check.verdict == "undecided" for check in model.checks) for model in refereed.models)
    n_passed = sum(
        bool(model.checks) and all(check.verdict == "passed" for check in model.checks) for model in refereed.models
    )
    words = [f"{n_passed} of {n} passed every check"]
    words += [f"something was found in {n_found}"] if n_found else []
    words += [f"{n_open} undecided"] if n_open else []
    words += [f"{n_failed} failed"] if n_failed else []
    return ", ".join(words) + "."
