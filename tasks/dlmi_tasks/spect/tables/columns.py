"""Columns that matter, under every name they go by, regardless of case, spaces and underscores."""

import re
from collections import Counter
from collections.abc import Sequence

# Name used here -> names in files, the preferred one first.
COLUMNS: dict[str, tuple[str, ...]] = {
    "Image Data ID": ("Image Data ID", "Image ID"),
    "PATNO": ("PATNO", "Subject", "Subject ID", "Participant ID", "Patient", "Patient ID"),
    "Path": ("Path", "File", "Filename"),
    "UID": ("UID",),
    "Label": ("Label", "Class", "is_pathologic"),
    "Session": ("Session", "Session ID"),
    "Group": ("Group", "Research Group"),
    "Visit": ("Visit", "Visit Name"),
    "Acq Date": ("Acq Date", "Acquisition Date", "Study Date", "Scan Date"),
    "Sex": ("Sex", "Gender"),
    "Age": ("Age", "Subject Age"),
    "Description": ("Description", "Image Description", "Series Description"),
    "Imaging Protocol": ("Imaging Protocol",),
    "EVENT_ID": ("EVENT_ID",),
    "INFODT": ("INFODT", "visit_date"),
    "PAG_NAME": ("PAG_NAME",),
    "PDSTATE": ("PDSTATE",),
    "PDTRTMNT": ("PDTRTMNT",),
    "NHY": ("NHY",),
    "NHY_ON": ("NHY_ON",),
    "LAST_UPDATE": ("LAST_UPDATE",),
    "DATSCAN_DATE": ("DATSCAN_DATE",),
    "DATSCAN_LIGAND": ("DATSCAN_LIGAND",),
    "DATSCAN_VISINTRP": ("DATSCAN_VISINTRP", "DATSCAN_VISUAL_INTERPRETATION", "Visual Interpretation"),
    "DATSCAN_IMAGE_ACCEPTABLE": ("DATSCAN_IMAGE_ACCEPTABLE",),
    "COHORT": ("COHORT", "COHORT_DEFINITION"),
    "DOMSIDE": ("DOMSIDE",),
    "BIRTHDT": ("BIRTHDT",),
    "AGE_AT_VISIT": ("AGE_AT_VISIT",),
    "SITE": ("SITE", "Center", "Centre"),
    "NSD": ("NSD_STAGE", "NSD_STAGING", "NSD_ISS", "NSD_ISS_STAGE", "NSD"),
    "TESTNAME": ("TESTNAME",),
}
# Published ratios by lab, in the order of anatomy.REGIONS.
REGION_NAMES = ("CAUDATE_L", "CAUDATE_R", "PUTAMEN_L", "PUTAMEN_R")
LABS: dict[str, tuple[str, ...]] = {
    "Xing Core Lab, cerebral white matter": tuple(f"{name}_REF_CWM" for name in REGION_NAMES),
    "occipital, archived DaTScan_SBR_Analysis": tuple(f"DATSCAN_{name}" for name in REGION_NAMES),
    "MIA, curated data cut": tuple(f"MIA_{name}" for name in REGION_NAMES),
}
COLUMNS |= {column: (column,) for columns in LABS.values() for column in columns}
NSD_NAME = re.compile(r"nsd.*(stag|iss)")


def normalise(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.casefold())


ALIASES = {column: tuple(map(normalise, names)) for column, names in COLUMNS.items()}
KNOWN = {name for names in ALIASES.values() for name in names}


def match_columns(header: Sequence[str]) -> dict[str, int]:
    """Place of each column that matters."""
    places: dict[str, int] = {}
    for place, name in enumerate(map(normalise, header)):
        places.setdefault(name, place)
    found = {column: next((places[n] for n in names if n in places), None) for column, names in ALIASES.items()}
    if found["NSD"] is None:  # the staging's column changes its name with each data cut
        found["NSD"] = next((place for name, place in places.items() if NSD_NAME.match(name)), None)
    return {column: place for column, place in found.items() if place is not None}


def find_doubled(header: Sequence[str]) -> list[str]:
    """Names of columns that matter and are there more than once: nobody can say which is meant."""
    counts = Counter(map(normalise, header))
    doubled = {name for name, n in counts.items() if name in KNOWN and n > 1}
    return list(dict.fromkeys(name.strip() for name in header if normalise(name) in doubled))
