"""The cohort: stable sampling, the population it is drawn from, and repeat visits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmi_bench.errors import UsageError
from dlmi_tasks.spect.cohort.cohort import (
    CohortSpec,
    compute_ratios,
    compute_visit,
    make_pool_spec,
    sample_control,
    sample_patient,
)
from dlmi_tasks.spect.cohort.population import PRESETS, VISIT_YEARS, compute_covariance, compute_means, compute_shift
from dlmi_tasks.spect.cohort.synthesis import list_visits
from dlmi_tasks.spect.observer import make_true_features

N = 3000


@given(seed=st.integers(0, 2**32), small=st.integers(1, 20), more=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_prefix_of_a_larger_cohort_is_the_smaller_cohort(seed: int, small: int, more: int) -> None:
    """Patient i is the same person whatever the size of the cohort and whoever is drawn before."""
    spec = CohortSpec(seed=seed, max_visits=4)
    larger = list_visits([sample_patient(spec, i) for i in reversed(range(small + more))][::-1])
    smaller = list_visits([sample_patient(spec, i) for i in range(small)])
    assert larger[: len(smaller)] == smaller


@given(seed=st.integers(0, 1000), index=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_visits_do_not_change_the_first_scan(seed: int, index: int) -> None:
    """Asking for repeat visits leaves the person and the first scan as they were."""
    once, often = (sample_patient(CohortSpec(seed=seed, max_visits=n), index) for n in (1, 4))
    np.testing.assert_array_equal(compute_ratios(once), compute_ratios(often))
    assert (once.age, once.anatomy, once.site) == (often.age, often.anatomy, often.site)


def test_seeds_and_controls_are_apart() -> None:
    """Another seed is another person, and control 5 is not patient 5."""
    spec = CohortSpec()
    patient, control = sample_patient(spec, 5), sample_control(spec, 5)
    assert patient.age != sample_patient(CohortSpec(seed=1), 5).age
    assert patient.subject != control.subject
    assert patient.make_rng("patient").random() != control.make_rng("patient").random()
    assert control.stage == 0


def test_pool_shares_nobody_and_no_camera() -> None:
    """The pool to pretrain on has other people and other cameras than the cohort it is made for."""
    spec = CohortSpec("realistic", separation=1.5, seed=3)
    pool = make_pool_spec(spec)
    assert (pool.preset, pool.separation) == ("realistic", 1.5)
    assert not set(pool.sites) & set(spec.sites)
    ages = {sample_patient(spec, i).age for i in range(200)}
    # Clipping makes some equal ages at the ends of the range; no others may agree.
    assert ages & {sample_patient(pool, i).age for i in range(200)} <= {35.0, 88.0}


def test_every_prefix_is_balanced() -> None:
    """Stages take turns: 1, 2, 3, 1, .."""
    assert [sample_patient(CohortSpec(), i).stage for i in range(7)] == [1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize("preset", PRESETS)
def test_patients_follow_the_population(preset: str) -> None:
    """Means and covariance of u, freed of age and sex, are the preset's."""
    patients = [sample_patient(CohortSpec(preset), i) for i in range(N)]
    u = make_true_features(patients)
    stages = np.array([p.stage for p in patients])
    means = np.array([u[stages == stage].mean(0) for stage in (1, 2, 3)])
    np.testing.assert_allclose(means, compute_means(preset), atol=0.04)
    np.testing.assert_allclose(np.cov((u - means[stages - 1]).T), compute_covariance(preset), atol=0.01)
    assert np.mean([p.sex == "F" for p in patients]) == pytest.approx(0.35, abs=0.03)
    assert {p.anatomy for p in patients} == set(range(7))
    assert {p.site for p in patients} == set(range(6))
    assert all(35 <= p.age <= 88 for p in patients)


def test_covariance_by_hand() -> None:
    """Contra caudate against contra putamen: .65 x .24 x .32, times .92 squared for the course preset."""
    assert compute_covariance("realistic")[0, 2] == pytest.approx(0.65 * 0.24 * 0.32)
    assert compute_covariance("course")[0, 2] == pytest.approx(0.65 * 0.24 * 0.32 * 0.92**2)


def test_separation_scales_the_distance_of_stages() -> None:
    """0 puts all stages on their centre, 2 doubles every difference, 1 is the preset."""
    means = compute_means("course")
    np.testing.assert_allclose(np.exp(means[0]), [2.15, 2.55, 0.90, 1.40])
    assert np.ptp(compute_means("course", 0.0), axis=0).max() < 1e-12
    np.testing.assert_allclose(np.diff(compute_means("course", 2.0), axis=0), 2 * np.diff(means, axis=0))


def test_shift_by_hand() -> None:
    """Ten years above 63 take .057 off; a woman has .04 more than a man."""
    assert compute_shift(73, "M") == pytest.approx(-0.057 - 0.04 * 0.35)
    assert compute_shift(63, "F") - compute_shift(63, "M") == pytest.approx(0.04)


def test_worse_hemisphere_gets_the_contralateral_ratio() -> None:
    """Ratios come as caudate left, right, putamen left, right, with u's first and third on the worse side."""
    for index in range(20):
        patient = sample_patient(CohortSpec(), index)
        contra_caudate, ipsi_caudate, contra_putamen, ipsi_putamen = np.exp(patient.log_ratios)
        expected = [contra_caudate, ipsi_caudate, contra_putamen, ipsi_putamen]
        if patient.worse == "R":
            expected = [ipsi_caudate, contra_caudate, ipsi_putamen, contra_putamen]
        np.testing.assert_allclose(compute_ratios(patient), expected)


def test_progression_takes_a_share_each_year() -> None:
    """After four years a caudate keeps .95^4 and a putamen .92^4 on average, with a scatter of .08."""
    patients = [sample_patient(CohortSpec(), i) for i in range(N)]
    changes = np.array([compute_visit(p, 3) - compute_visit(p, 0) for p in patients])
    assert VISIT_YEARS[3] == 4
    np.testing.assert_allclose(np.exp(changes.mean(0)), [0.95**4, 0.95**4, 0.92**4, 0.92**4], rtol=0.005)
    np.testing.assert_allclose(changes.std(0), 0.08, rtol=0.05)


def test_visits_are_one_to_the_maximum() -> None:
    """With max_visits 4 patients have 1, 2, 3 or 4 visits, each about as often."""
    counts = np.bincount([sample_patient(CohortSpec(max_visits=4), i).n_visits for i in range(N)])
    assert len(counts) == 5
    np.testing.assert_allclose(counts[1:] / N, 0.25, atol=0.04)


@pytest.mark.parametrize(
    ("field", "kwargs"),
    [("preset", {"preset": "x"}), ("max_visits", {"max_visits": 5}), ("separation", {"separation": -1.0})],
)
def test_impossible_cohorts_are_refused(field: str, kwargs: dict[str, object]) -> None:
    """A wrong option is named, with what to use instead."""
    with pytest.raises(UsageError, match=field):
        CohortSpec(**kwargs)  # type: ignore[arg-type]
