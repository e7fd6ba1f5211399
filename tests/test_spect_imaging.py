"""Imaging: the transfer solve, the camera's response, noise, and independence of what else is computed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from dlmi_tasks.spect.anatomy.anatomy import Anatomies
from dlmi_tasks.spect.anatomy.grid import SHAPE, compute_sigma
from dlmi_tasks.spect.cohort.cohort import CohortSpec, Site, compute_ratios, sample_control, sample_patient
from dlmi_tasks.spect.cohort.imaging import draw_counts, image_patient, misregister
from dlmi_tasks.spect.cohort.optics import blur
from dlmi_tasks.spect.cohort.synthesis import Visit, scan_visits
from dlmi_tasks.spect.cohort.template import MIN_UPTAKE, NOMINAL_FWHM_MM, Template, make_uptake, solve_uptake
from dlmi_tasks.spect.preprocess import measure_ratios


def test_solved_uptake_reads_as_asked(anatomies: Anatomies, templates: list[Template]) -> None:
    """Blurred at the nominal resolution, every anatomy reads the ratios it was solved for, with any gradient."""
    asked = np.array([1.7, 2.1, 0.6, 0.9])
    for template, gradient in zip(templates, np.linspace(0, 0.6, len(templates)), strict=True):
        volume = make_uptake(template, solve_uptake(template, asked, gradient), gradient)
        found = measure_ratios(blur(volume, NOMINAL_FWHM_MM), anatomies.regions)
        np.testing.assert_allclose(found, asked, atol=0.03)


def test_uptake_is_never_negative(templates: list[Template]) -> None:
    """A ratio below what the background alone reads leaves the least uptake."""
    assert (solve_uptake(templates[0], np.full(4, -0.5), 0.4) == MIN_UPTAKE).all()


def test_blur_is_the_gaussian_of_that_width() -> None:
    """Away from the edges the response equals a direct convolution, and the haze takes its share of the total."""
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[40:50, 50:60, 40:50] = np.random.default_rng(0).random((10, 10, 10))
    expected = ndimage.gaussian_filter(volume.astype(float), compute_sigma(9.0), truncate=6)
    np.testing.assert_allclose(blur(volume, 9.0), expected, atol=2e-4)
    hazy = blur(volume, 9.0, haze=0.1)
    assert hazy.sum() == pytest.approx(volume.sum(), rel=0.01)
    assert hazy[45, 55, 45] < blur(volume, 9.0)[45, 55, 45]


def test_part_of_a_volume_equals_the_whole(templates: list[Template]) -> None:
    """Slices 35-51 alone are, bit for bit, slices 35-51 of the whole scan."""
    patient = sample_patient(CohortSpec(), 17)
    whole = image_patient(patient, templates)
    part = image_patient(patient, templates, slices=slice(35, 52))
    assert whole.shape == SHAPE
    assert whole.dtype == np.uint16
    np.testing.assert_array_equal(part, whole[35:52])


def test_scan_does_not_depend_on_the_company(templates: list[Template]) -> None:
    """Patient 17 scanned alone or after others is the same scan; another visit is another scan."""
    spec = CohortSpec(max_visits=4)
    some = slice(40, 42)
    image_patient(sample_patient(spec, 3), templates, slices=some)
    first, again, later = (
        image_patient(sample_patient(spec, 17), templates, visit=visit, slices=some) for visit in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()


def test_controls_read_near_their_true_ratios(spect_cache: Path) -> None:
    """Through the whole chain, measured ratios of eight controls are on average within a tenth of the true ones."""
    controls = [sample_control(CohortSpec(), i) for i in range(8)]
    found = scan_visits([Visit(control) for control in controls], n_workers=1, cache=spect_cache).ratios
    true = np.array([compute_ratios(control) for control in controls])
    np.testing.assert_allclose((found / true).mean(0), 1.0, atol=0.1)


def test_fewer_counts_are_noisier(anatomies: Anatomies, templates: list[Template]) -> None:
    """A hundredth of the counts gives about ten times the noise in the reference region."""
    many, few = (measure_noise(counts, 0, anatomies, templates).std() for counts in (100.0, 1.0))
    assert 7 < few / many < 14


def test_each_visit_and_slice_has_noise_of_its_own() -> None:
    """The same uptake gives other counts at another visit and in another slice, and the same counts again."""
    patient, even = sample_patient(CohortSpec(), 0), np.ones((2, 109, 91), dtype=np.float32)
    first, again, later = (draw_counts(even, 1.5, patient, visit, 40) for visit in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != later).mean() > 0.3
    assert (first[0] != first[1]).mean() > 0.3
    assert first.mean() == pytest.approx(1.0, abs=0.02)


def measure_noise(counts: float, visit: int, anatomies: Anatomies, templates: list[Template]) -> np.ndarray:
    """What a scan with few counts has in the reference region beyond the same scan with very many."""
    site = Site(psf_mm=8.0, filter_mm=6.0, counts=counts, cupping=0.0, haze=0.0)
    person = replace(sample_patient(CohortSpec(sites=(site,)), 0), site=0)
    twin = replace(person, spec=CohortSpec(sites=(replace(site, counts=1e7),)))
    used = slice(35, 52)
    a, b = (image_patient(p, templates, visit=visit, slices=used).astype(float) for p in (person, twin))
    return (a - b)[anatomies.regions.occipital[used]]


def test_misregistration_is_small() -> None:
    """The head's middle moves by millimetres, not centimetres, and its total stays."""
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[30:60, 40:70, 30:60] = 1
    for seed in range(5):
        moved = misregister(volume, np.random.default_rng(seed))
        shift = np.subtract(ndimage.center_of_mass(moved), ndimage.center_of_mass(volume))
        assert 0 < np.abs(shift).max() < 3
        assert moved.sum() == pytest.approx(volume.sum(), rel=0.15)


@pytest.mark.slow
def test_workers_give_what_one_process_gives(spect_cache: Path) -> None:
    """A pool of two processes returns the same extracts in the same order; progress reaches the end."""
    visits = [Visit(sample_patient(CohortSpec(), i)) for i in range(14)]
    seen = []
    alone = scan_visits(visits, n_workers=1, cache=spect_cache)
    pooled = scan_visits(visits, n_workers=2, cache=spect_cache, on_scan=lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(alone.planes, pooled.planes)
    np.testing.assert_array_equal(alone.ratios, pooled.ratios)
    assert seen[-1] == (14, 14)


@pytest.mark.slow
def test_controls_read_on_the_published_scale() -> None:
    """Measured over 150 controls, caudates read 3.0 and putamina 2.3 within .2."""
    ratios = scan_visits([Visit(sample_control(CohortSpec(), i)) for i in range(150)]).ratios
    assert ratios[:, :2].mean() == pytest.approx(3.0, abs=0.2)
    assert ratios[:, 2:].mean() == pytest.approx(2.3, abs=0.2)
