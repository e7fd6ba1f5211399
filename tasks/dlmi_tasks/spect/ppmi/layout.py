"""Layout of PPMI's own files: names, columns and codes, for the writer and the reader alike.

Sources: the image archive's download tree and collection table, and the study's table of motor examinations.
"""

from dataclasses import dataclass

IMAGE_SHAPE = (91, 109, 91)  # frames (slices), rows, columns
MAX_IMAGE_BYTES = 32 << 20  # of a file, and of what it inflates to: four times the voxels as float64
DESCRIPTION = "Reconstructed_DaTSCAN"
MODALITY = "NM"
NM_STORAGE = "1.2.840.10008.5.1.4.1.1.20"

COLLECTION_COLUMNS = (
    "Image Data ID",
    "Subject",
    "Group",
    "Sex",
    "Age",
    "Visit",
    "Modality",
    "Description",
    "Type",
    "Acq Date",
    "Format",
    "Downloaded",
)
SEARCH_COLUMNS = (
    "Subject ID",
    "Research Group",
    "Visit",
    "Study Date",
    "Modality",
    "Description",
    "Imaging Protocol",
    "Image ID",
)
STAGE_COLUMNS = ("PATNO", "EVENT_ID", "PAG_NAME", "INFODT", "PDSTATE", "NHY")

EVENTS = {
    "Screening": "SC",
    "Baseline": "BL",
    "Month 12": "V04",
    "Month 24": "V06",
    "Month 36": "V08",
    "Month 48": "V10",
    "Symptomatic Therapy": "ST",
    "Unscheduled Visit 01": "U01",
    "Unscheduled Visit 02": "U02",
    "Premature Withdrawal": "PW",
}
# The stage of a screening scan is often noted at baseline, a few weeks later.
ALSO_AT = {"SC": ("BL",)}
MISSING_STAGE = "101"
STAGE_RANGE = (0.0, 5.0)


@dataclass(frozen=True)
class Problem:
    """Something that was left out or passed over: where, and why."""

    where: str
    reason: str
