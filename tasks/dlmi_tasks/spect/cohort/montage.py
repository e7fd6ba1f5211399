"""A sheet of synthetic slices to look at: controls and stages, several people each."""

from pathlib import Path

import numpy as np

from dlmi_tasks.spect.anatomy.grid import crop_center
from dlmi_tasks.spect.cohort.cohort import CohortSpec, sample_control, sample_patient
from dlmi_tasks.spect.cohort.population import STAGES
from dlmi_tasks.spect.cohort.synthesis import Visit, scan_visits
from dlmi_tasks.spect.preprocess import normalise

TITLE = (
    "SYNTHETIC DaT-SPECT, preset {preset}: mean of slices 35-48, central 50x50 (2 mm), specific binding\n"
    "above each: measured putamen ratios, patient's right and left (right is on the image's left)"
)
BRIGHTEST = 3.0  # specific binding at the top of the grey scale


def write_montage(
    path: Path, spec: CohortSpec | None = None, *, n_columns: int = 8, cache: Path | None = None, n_workers: int = 1
) -> None:
    """Draw controls and each stage, one row each, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    spec = spec or CohortSpec()
    controls = [sample_control(spec, i) for i in range(n_columns)]
    patients = [sample_patient(spec, i) for i in range(n_columns * len(STAGES))]
    rows = [controls, *([p for p in patients if p.stage == stage] for stage in STAGES)]
    extracts = scan_visits([Visit(person) for row in rows for person in row], cache=cache, n_workers=n_workers)
    images = crop_center(normalise(extracts, "occipital"))

    figure = Figure(figsize=(1.5 * n_columns, 1.75 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.asarray(figure.subplots(len(rows), n_columns)).ravel()
    for axis, image, ratios in zip(axes, images, extracts.ratios, strict=True):
        axis.imshow(image, cmap="gray", vmin=-0.5, vmax=BRIGHTEST)
        axis.set_title(f"{ratios[3]:.1f}  {ratios[2]:.1f}", fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, name in zip(axes[::n_columns], ("control", "stage 1", "stage 2", "stage 3+"), strict=True):
        axis.set_ylabel(name)
    figure.suptitle(TITLE.format(preset=spec.preset), fontsize=9)
    figure.savefig(path, dpi=100)
