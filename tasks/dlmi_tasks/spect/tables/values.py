"""Values of the tables in every form that the study and spreadsheets give them."""

import re
from functools import lru_cache

from dlmi_tasks.files.limits import MAX_SHOWN, parse_number

SUBJECT = re.compile(r"(?:sub-)?(?:ppmi[-_]?)?(\d+)(?:\.0+)?", re.ASCII | re.IGNORECASE)
IMAGE = re.compile(r"i?(\d+)(?:\.0+)?", re.ASCII | re.IGNORECASE)
STAGE_RANGE = (0.0, 5.0)
MISSING_STAGES = ("", "UR", "101")
YES, NO = ("yes", "y", "1", "true"), ("no", "n", "0", "false")
POSITIVE, NEGATIVE = ("positive", "pos", "abnormal"), ("negative", "neg", "normal")
SEXES = {"0": "F", "f": "F", "female": "F", "1": "M", "m": "M", "male": "M"}
SIDES = {"1": "L", "l": "L", "left": "L", "2": "R", "r": "R", "right": "R"}
IOFLUPANE = "ioflupane"
# Its names, and the isotope alone; 123I-beta-CIT is another tracer.
IOFLUPANES = re.compile(r"ioflupane|datscan|fp-?cit|^\W*(?:123-?i|i-?123)\W*$", re.IGNORECASE)
# Normalised group by what files write; any other text is kept.
GROUPS = {
    **dict.fromkeys(("1", "pd", "parkinson's disease", "parkinsons disease", "parkinson disease"), "PD"),
    **dict.fromkeys(("2", "hc", "control", "controls", "healthy control", "healthy controls"), "HC"),
    **dict.fromkeys(("3", "swedd"), "SWEDD"),
    **dict.fromkeys(("4", "prodromal"), "Prodromal"),
    "gencohort pd": "GenCohort PD",
    "gencohort unaff": "GenCohort Unaff",
    "genreg pd": "GenReg PD",
    "genreg unaff": "GenReg Unaff",
    "av133": "AV133",
    "phantom": "Phantom",
    "volunteer": "Volunteer",
}


@lru_cache(maxsize=4096)
def parse_subject(text: str) -> str:
    """Number of a subject, 3001 for 3001.0 and sub-PPMI3001 too; any other text as it is."""
    found = SUBJECT.fullmatch(text.strip())
    return found[1] if found else text.strip()


def parse_image_id(text: str) -> str:
    """Number of an image, without the leading I and what a spreadsheet appends; any other text as it is."""
    found = IMAGE.fullmatch(text.strip())
    return found[1] if found else text.strip()


def parse_decimal(text: str) -> float:
    """A finite number with decimal point or comma.

    Raises:
        ValueError: it is anything else.
    """
    return parse_number(text.strip().replace(",", ".") if text.count(",") == 1 and "." not in text else text.strip())


@lru_cache(maxsize=4096)
def parse_stage(text: str) -> float | None:
    """A stage from 0 to 5; None where it is missing.

    Raises:
        ValueError: it is anything else.
    """
    if text.strip().upper() in MISSING_STAGES:
        return None
    stage = parse_decimal(text)
    if stage == float(MISSING_STAGES[-1]):
        return None
    if not STAGE_RANGE[0] <= stage <= STAGE_RANGE[1]:
        raise ValueError(f"{text[:MAX_SHOWN]!r} is no stage")
    return stage


def parse_group(text: str) -> str:
    """Group of a subject by code or words; text that is not known is kept."""
    words = " ".join(text.replace("_", " ").split())
    return GROUPS.get(words.casefold().removesuffix(".0"), words)


def parse_sex(text: str) -> str:
    """F or M; empty where it is neither."""
    return SEXES.get(text.casefold().removesuffix(".0"), "")


def parse_side(text: str) -> str:
    """L or R; empty where it is both or neither."""
    return SIDES.get(text.casefold().removesuffix(".0"), "")


def parse_choice(text: str, yes: tuple[str, ...], no: tuple[str, ...]) -> bool | None:
    """True or False for a word of `yes` or `no`; None for any other."""
    word = text.casefold().removesuffix(".0")
    return True if word in yes else False if word in no else None


def parse_tracer(text: str) -> str:
    """Name of the tracer. A blank is ioflupane, which all centres but a few use."""
    word = text.strip()
    return IOFLUPANE if not word or IOFLUPANES.search(word) else word


def parse_nsd(text: str) -> str:
    """Biological stage without the word before it and a spreadsheet's decimals: 2B, 3."""
    return re.sub(r"(?i)^stage\s*", "", text.strip()).removesuffix(".0").upper()
