"""Roles of tables: what a table serves as, by its columns alone."""

from collections.abc import Collection

from dlmi_tasks.spect.tables.columns import LABS

UNKNOWN, LISTING = "unknown", "listing"
IMAGES = ("collection", "search")

# In this order: the first whose columns are all there.
ROLES: tuple[tuple[str, frozenset[str]], ...] = (
    (LISTING, frozenset({"Path", "PATNO"})),
    (LISTING, frozenset({"UID", "Label"})),
    ("search", frozenset({"Image Data ID", "PATNO", "Imaging Protocol"})),
    ("collection", frozenset({"Image Data ID", "PATNO"})),
    ("curated", frozenset({"PATNO", "EVENT_ID", "COHORT", "NHY"})),
    ("stages", frozenset({"PATNO", "EVENT_ID", "NHY"})),
    *(("ratios", frozenset({"PATNO", "EVENT_ID", *columns})) for columns in LABS.values()),
    ("acquisition", frozenset({"PATNO", "DATSCAN_IMAGE_ACCEPTABLE"})),
    ("reads", frozenset({"PATNO", "DATSCAN_VISINTRP"})),
    ("ages", frozenset({"PATNO", "EVENT_ID", "AGE_AT_VISIT"})),
    ("status", frozenset({"PATNO", "COHORT"})),
    ("participants", frozenset({"PATNO", "Group"})),
    ("history", frozenset({"PATNO", "DOMSIDE"})),
    ("demographics", frozenset({"PATNO", "Sex"})),
    ("demographics", frozenset({"PATNO", "BIRTHDT"})),
)
# A table with these columns resembles the role; it is passed over, and said to be, where it lacks another.
SIGNS: tuple[tuple[str, frozenset[str]], ...] = (
    ("collection", frozenset({"Image Data ID"})),
    ("stages", frozenset({"NHY"})),
    ("stages", frozenset({"PATNO", "EVENT_ID", "PDSTATE"})),
    ("stages", frozenset({"PATNO", "EVENT_ID", "PAG_NAME", "PDTRTMNT"})),
    *(("ratios", frozenset({column})) for columns in LABS.values() for column in columns),
    ("reads", frozenset({"DATSCAN_VISINTRP"})),
    ("acquisition", frozenset({"DATSCAN_IMAGE_ACCEPTABLE"})),
)
# Columns that a table may lack, at a loss that is named.
EXPECTED = {**dict.fromkeys(IMAGES, ("Group", "Visit", "Acq Date")), "stages": ("INFODT",)}


def find_role(columns: Collection[str]) -> str:
    """Role of a table; a table of test results also has cohort and sex, and is none."""
    if "TESTNAME" in columns:
        return UNKNOWN
    return next((role for role, needs in ROLES if needs <= set(columns)), UNKNOWN)


def list_labs(columns: Collection[str]) -> list[str]:
    """Labs whose ratios are all there."""
    return [lab for lab, needs in LABS.items() if set(needs) <= set(columns)]


def explain_unknown(columns: Collection[str]) -> tuple[str, bool]:
    """Say why a table has no role, and whether it resembles one."""
    role = next((role for role, signs in SIGNS if signs <= set(columns)), None)
    if role is None or "TESTNAME" in columns:
        return "holds nothing that is needed here", False
    lacking = min((needs - set(columns) for name, needs in ROLES if name == role), key=len)
    return f"column {', '.join(sorted(lacking))} is missing for a table of {role}", True
