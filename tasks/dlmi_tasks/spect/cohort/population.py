"""The population: binding ratios by stage, ageing, and what a patient's age and sex tell.

u = log(caudate contra, caudate ipsi, putamen contra, putamen ipsi) is normal around the stage's mean, with one
covariance for all stages. "Contra" is the hemisphere opposite to the worse side of the body: it has lost more.

Medians, stage 3+ levels and stage separations are set by us; spread, correlations, ageing (-0.57 % a year: ENC-DAT)
and the difference of the sexes are on published scales.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAGES = (1, 2, 3)  # Hoehn & Yahr 1, 2, 3 and above
CONTROL = 0

CONTROL_MEDIANS = (2.98, 2.98, 2.15, 2.15)
CONTROL_COVARIANCE_SCALE = 0.55
LOG_SD = np.array([0.24, 0.22, 0.32, 0.32])
CORRELATION = np.array([[1, 0.85, 0.65, 0.55], [0.85, 1, 0.55, 0.65], [0.65, 0.55, 1, 0.75], [0.55, 0.65, 0.75, 1]])
AGE_SLOPE, AGE_CENTER = -0.0057, 63.0  # change of u per year, about this age
SEX_EFFECT, SHARE_WOMEN = 0.04, 0.35
AGE_MEAN = {CONTROL: 61.0, 1: 60.0, 2: 63.0, 3: 67.0}
AGE_SD, AGE_RANGE = 9.5, (35.0, 88.0)
# Front-to-back gradient of the putamen: PD empties it from the back.
GRADIENT = {CONTROL: 0.15, 1: 0.38, 2: 0.42, 3: 0.45}
GRADIENT_SD, GRADIENT_RANGE = 0.08, (-0.2, 0.8)

VISIT_YEARS = (0.0, 1.0, 2.0, 4.0)  # as PPMI's screening, months 12, 24 and 48
YEARLY_LOSS = np.log([0.95, 0.95, 0.92, 0.92])
RETEST_SD = 0.08


@dataclass(frozen=True)
class Preset:
    """Median ratios by stage (contra and ipsi caudate, contra and ipsi putamen) and the scale of their spread."""

    medians: tuple[tuple[float, float, float, float], ...]
    sd_scale: float


PRESETS = {
    "course": Preset(((2.15, 2.55, 0.90, 1.40), (1.68, 1.95, 0.62, 0.82), (1.05, 1.18, 0.38, 0.45)), 0.92),
    "realistic": Preset(((1.95, 2.30, 0.72, 1.05), (1.75, 2.02, 0.62, 0.84), (1.42, 1.60, 0.50, 0.62)), 1.0),
}


def compute_means(preset: str, separation: float = 1.0) -> NDArray[np.float64]:
    """Mean of u by stage, (3, 4)."""
    means = np.log(PRESETS[preset].medians)
    center = means.mean(0)
    return np.asarray(center + separation * (means - center))


def compute_covariance(preset: str) -> NDArray[np.float64]:
    """Covariance of u within a stage, (4, 4)."""
    sd = LOG_SD * PRESETS[preset].sd_scale
    return np.asarray(CORRELATION * np.outer(sd, sd))


def compute_shift(age: float, sex: str) -> float:
    """Compute what age and sex add to u; the average over the sexes is 0."""
    return AGE_SLOPE * (age - AGE_CENTER) + SEX_EFFECT * ((sex == "F") - SHARE_WOMEN)
