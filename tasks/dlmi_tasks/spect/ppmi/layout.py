"""Layout of PPMI's own files: names, columns and codes, for the writer and the reader alike.

Sources: the image archive's download tree and collection table, and the study's table of motor examinations.
"""

MAX_IMAGE_BYTES = 65 << 20  # of a file, and of what it inflates to: 256 x 256 x 128 voxels as float64, and headers
DESCRIPTION = "Reconstructed_DaTSCAN"
EXPECTED = "expected PPMI/<subject>/Reconstructed_DaTSCAN/<date>/I<image>/*.dcm or *.nii, as the archive unpacks"
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
LISTING_COLUMNS = ("path", "subject", "label", "site", "session", "group", "sex", "age")
STAGE_COLUMNS = ("PATNO", "EVENT_ID", "PAG_NAME", "INFODT", "PDSTATE", "NHY")
