"""Visits of the study: their names in the image archive and their codes in the tables."""

import re
from functools import lru_cache

# Months after baseline at which V01, V02, ... take place.
MONTHS = (3, 6, 9, 12, 18, 24, 30, 36, 42, 48, 54, *range(60, 217, 12))
NAMES = {
    "screening": "SC",
    "baseline": "BL",
    "screeningbaselinecombined": "SCBL",
    "symptomatictherapy": "ST",
    "prematurewithdrawal": "PW",
    "rescreen": "RS1",
    "rescreen1": "RS1",
    "rescreen2": "RS2",
    "finalvisit": "FNL",
    "final": "FNL",
    "transfer": "TRANS",
    "transferevent": "TRANS",
    **{f"month{month}": f"V{number:02}" for number, month in enumerate(MONTHS, 1)},
}
CODE = re.compile(r"SC|BL|ST|PW|RS[12]|SCBL|FNL|TRANS|[VRU]\d\d", re.ASCII)
NUMBERED = re.compile(r"(month|remotevisit|unscheduledvisit)0*(\d{1,3})", re.ASCII)
LETTERS = {"remotevisit": "R", "unscheduledvisit": "U"}
# The stage of a screening scan is often noted at baseline, a few weeks later.
ALSO_AT = {"SC": ("BL",)}


@lru_cache(maxsize=4096)
def find_event(text: str) -> str | None:
    """Code of a visit, given by code or name in any case and spacing; None for one that is not known."""
    code = text.strip().upper()
    if CODE.fullmatch(code):
        return code
    name = re.sub(r"[\s_/-]+", "", text.casefold())
    if not (numbered := NUMBERED.fullmatch(name)):
        return NAMES.get(name)
    kind, number = numbered[1], int(numbered[2])
    if kind == "month":
        return NAMES.get(f"month{number}")
    return f"{LETTERS[kind]}{number:02}" if 0 < number < 100 else None
