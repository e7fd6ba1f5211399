"""People of a cohort: patients with a stage, an age, a worse side, binding ratios, a camera and a brain.

Each follows from (seed, index) alone, so the first 50 of a cohort of 500 are the cohort of 50.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import UsageError
from dlmi_tasks.spect.anatomy.atlas import DONORS
from dlmi_tasks.spect.cohort.population import (
    AGE_MEAN,
    AGE_RANGE,
    AGE_SD,
    CONTROL,
    CONTROL_COVARIANCE_SCALE,
    CONTROL_MEDIANS,
    GRADIENT,
    GRADIENT_RANGE,
    GRADIENT_SD,
    PRESETS,
    RETEST_SD,
    SHARE_WOMEN,
    STAGES,
    VISIT_YEARS,
    YEARLY_LOSS,
    compute_covariance,
    compute_means,
    compute_shift,
)

N_ANATOMIES = 1 + len(DONORS)


@dataclass(frozen=True)
class Site:
    """A camera: resolution and post-filter (full width at half maximum), counts, and what its corrections leave.

    `counts` is per voxel and unit of uptake; `cupping` and `haze` are fractions.
    """

    psf_mm: float
    filter_mm: float
    counts: float
    cupping: float
    haze: float


SITES = (
    Site(8.0, 6.0, 1.6, 0.00, 0.03),
    Site(9.0, 6.0, 1.2, -0.03, 0.06),
    Site(9.5, 7.0, 2.2, 0.03, 0.05),
    Site(8.5, 8.0, 1.0, 0.02, 0.10),
    Site(10.0, 6.5, 1.8, -0.02, 0.08),
    Site(7.5, 7.0, 1.4, 0.04, 0.04),
)
# For a pretraining pool: none of these cameras appears in the cohort that is judged.
OTHER_SITES = (
    Site(7.8, 6.5, 2.0, 0.01, 0.05),
    Site(8.8, 7.5, 1.1, -0.02, 0.07),
    Site(9.8, 7.0, 1.5, 0.03, 0.09),
    Site(9.2, 6.0, 1.9, -0.04, 0.04),
)


@dataclass(frozen=True)
class CohortSpec:
    """All that decides a cohort. Its size does not.

    Args:
        preset: Name in PRESETS.
        separation: Scales the distance of the stage means from their centre; 1 is the preset, 0 leaves no signal.
        seed: Everything random follows from it and the patient's index.
        max_visits: Each patient has 1 to this many visits; 1 to 4.
        sites: Cameras, one drawn for each patient.
    """

    preset: str = "course"
    separation: float = 1.0
    seed: int = 0
    max_visits: int = 1
    sites: tuple[Site, ...] = SITES

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"preset {self.preset!r} does not exist", f"use one of {', '.join(PRESETS)}")
        if not 1 <= self.max_visits <= len(VISIT_YEARS):
            raise UsageError(f"max_visits is {self.max_visits}", f"use 1 to {len(VISIT_YEARS)}")
        if self.separation < 0 or self.seed < 0:
            raise UsageError("separation and seed cannot be negative", "use 0 or more")


POOL_SEED_STEP = 1_000_003


def make_pool_spec(spec: CohortSpec) -> CohortSpec:
    """A population to pretrain on: as `spec`, with other people and other cameras, so that nothing of it leaks."""
    return replace(spec, seed=spec.seed + POOL_SEED_STEP, sites=OTHER_SITES)


@dataclass(frozen=True)
class Patient:
    """One person at the first visit.

    Attributes:
        index: Position in the cohort; controls count apart.
        stage: 1, 2, 3 (and above), or 0 for a control.
        worse: Hemisphere that has lost more, L or R.
        anatomy: Position in Anatomies.names.
        gradient: Front-to-back slope of the putamen.
        log_ratios: u, see population.py.
        n_visits: Visits in all.
    """

    spec: CohortSpec
    index: int
    stage: int
    age: float
    sex: Literal["F", "M"]
    worse: Literal["L", "R"]
    anatomy: int
    site: int
    gradient: float
    log_ratios: tuple[float, ...]
    n_visits: int

    @property
    def subject(self) -> str:
        """A number in the manner of PPMI; controls start higher."""
        return str((FIRST_CONTROL if self.stage == CONTROL else FIRST_PATIENT) + self.index)

    def make_rng(self, purpose: str, *more: int) -> np.random.Generator:
        return make_rng(self.spec.seed, self.stage == CONTROL, self.index, purpose, *more)


FIRST_PATIENT, FIRST_CONTROL = 10_000, 80_000  # subjects by number
PURPOSES = ("patient", "visit", "camera", "noise")


def make_rng(seed: int, is_control: bool, index: int, purpose: str, *more: int) -> np.random.Generator:
    """A stream of its own for each person and purpose: drawing more of one shifts no other."""
    return np.random.default_rng((seed, int(is_control), index, PURPOSES.index(purpose), *more))


def sample_patient(spec: CohortSpec, index: int) -> Patient:
    """Patient `index`. Stages take turns, so every prefix is balanced."""
    return _sample(spec, index, STAGES[index % len(STAGES)])


def find_patient(spec: CohortSpec, subject: str) -> Patient:
    """The patient, no control, who goes by that number."""
    return sample_patient(spec, int(subject) - FIRST_PATIENT)


def sample_control(spec: CohortSpec, index: int) -> Patient:
    """Healthy control `index`."""
    return _sample(spec, index, CONTROL)


def _sample(spec: CohortSpec, index: int, stage: int) -> Patient:
    rng = make_rng(spec.seed, stage == CONTROL, index, "patient")
    age = float(np.clip(rng.normal(AGE_MEAN[stage], AGE_SD), *AGE_RANGE))
    sex: Literal["F", "M"] = "F" if rng.random() < SHARE_WOMEN else "M"
    worse: Literal["L", "R"] = "L" if rng.random() < 0.5 else "R"
    return Patient(
        spec=spec,
        index=index,
        stage=stage,
        age=age,
        sex=sex,
        worse=worse,
        anatomy=int(rng.integers(N_ANATOMIES)),
        site=int(rng.integers(len(spec.sites))),
        gradient=float(np.clip(rng.normal(GRADIENT[stage], GRADIENT_SD), *GRADIENT_RANGE)),
        log_ratios=tuple(_sample_log_ratios(spec, stage, rng) + compute_shift(age, sex)),
        n_visits=1 + int(rng.random() * spec.max_visits),
    )


def _sample_log_ratios(spec: CohortSpec, stage: int, rng: np.random.Generator) -> NDArray[np.float64]:
    covariance = compute_covariance(spec.preset)
    if stage == CONTROL:
        mean, covariance = np.log(CONTROL_MEDIANS), CONTROL_COVARIANCE_SCALE * covariance
    else:
        mean = compute_means(spec.preset, spec.separation)[STAGES.index(stage)]
    # By Cholesky and not by multivariate_normal, whose factor may differ from one LAPACK to the next.
    return np.asarray(mean + np.linalg.cholesky(covariance) @ rng.standard_normal(4))


def compute_visit(patient: Patient, visit: int) -> NDArray[np.float64]:
    """u at a visit (0 is the first): progression, and the scatter of a repeated measurement."""
    first = np.array(patient.log_ratios)
    if visit == 0:
        return first
    scatter = patient.make_rng("visit", visit).normal(0.0, RETEST_SD, 4)
    return np.asarray(first + VISIT_YEARS[visit] * YEARLY_LOSS + scatter)


def compute_ratios(patient: Patient, visit: int = 0) -> NDArray[np.float64]:
    """Binding ratios at a visit by hemisphere, in the order of anatomy.REGIONS."""
    contra_caudate, ipsi_caudate, contra_putamen, ipsi_putamen = np.exp(compute_visit(patient, visit))
    if patient.worse == "L":
        return np.array([contra_caudate, ipsi_caudate, contra_putamen, ipsi_putamen])
    return np.array([ipsi_caudate, contra_caudate, ipsi_putamen, contra_putamen])
