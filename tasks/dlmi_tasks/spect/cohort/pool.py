"""Pretraining pool: more people, scanned by other cameras, none of them in the evaluated cohort."""

import numpy as np

from dlmi_tasks.files.archives import Progress
from dlmi_tasks.spec import Pool
from dlmi_tasks.spect.cohort.cohort import CohortSpec, make_pool_spec
from dlmi_tasks.spect.cohort.synthesis import load_cohort
from dlmi_tasks.spect.preprocess import Preprocessing, make_images

N_PATIENTS = 900


def load_pool(
    preset: str, preprocessing: Preprocessing, *, n_patients: int = N_PATIENTS, on_progress: Progress | None = None
) -> Pool:
    """Images and the true log binding ratios, worse hemisphere first: (n, 4), the same for a mirrored image."""
    spec = make_pool_spec(CohortSpec(preset))
    visits, extracts = load_cohort(
        spec, n_patients, slices=preprocessing.slices, on_progress=on_progress, on_scan=on_progress
    )
    targets = np.array([visit.patient.log_ratios for visit in visits], dtype=np.float32)
    return Pool(make_images(extracts, preprocessing), targets)
