"""Slice choice, normalisation before cropping, and the two signal-to-noise figures."""

import numpy as np
import pytest

from dlmi_bench.errors import UsageError
from dlmi_tasks.spect.anatomy.anatomy import Regions
from dlmi_tasks.spect.anatomy.grid import SHAPE
from dlmi_tasks.spect.preprocess import (
    NORMALISE,
    PLANES,
    Preprocessing,
    compute_image_snr,
    compute_left_out_snr,
    compute_pooled_snr,
    extract,
    join_extracts,
    make_images,
    measure_ratios,
    normalise,
)


@pytest.fixture
def regions() -> Regions:
    """A reference block behind the crop and four blocks inside it."""
    masks = np.zeros((5, *SHAPE), dtype=bool)
    masks[0, 35:49, 90:94, 40:50] = True
    for i in range(4):
        masks[1 + i, 35:49, 40:44, 30 + 5 * i : 34 + 5 * i] = True
    return Regions(masks[0], tuple(masks[1:]))


@pytest.fixture
def volume(regions: Regions) -> np.ndarray:
    """Counts: 100 everywhere, 200 in the reference, 400, 600, 800 and 1000 in the nuclei."""
    counts = np.full(SHAPE, 100, dtype=np.uint16)
    counts[regions.occipital] = 200
    for i, region in enumerate(regions.striatal):
        counts[region] = 400 + 200 * i
    return counts


def test_slices_by_hand() -> None:
    """On a ramp along the slices, the window reads (35 + 48) / 2 and the single slice 41."""
    ramp = np.broadcast_to(np.arange(91, dtype=np.uint16)[:, None, None], SHAPE)
    assert np.unique(PLANES["window"](ramp)).tolist() == [41.5]
    assert np.unique(PLANES["single"](ramp)).tolist() == [41]


def test_hottest_window_finds_the_uptake() -> None:
    """Fourteen hot slices are found wherever they are; what glows outside the central part is ignored."""
    volume = np.ones(SHAPE, dtype=np.float32)
    volume[20:34, 50:60, 40:50] = 5
    volume[60:80, :10, :10] = 1000
    assert PLANES["hottest"](volume)[55, 45] == 5


def test_ratios_by_hand(volume: np.ndarray, regions: Regions) -> None:
    """Regions of 400 to 1000 over a reference of 200 are ratios 1, 2, 3 and 4."""
    np.testing.assert_allclose(measure_ratios(volume, regions), [1, 2, 3, 4])
    np.testing.assert_allclose(extract([volume], "window", regions).ratios, [[1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("normalisation", "background"),
    [("occipital", -0.5), ("max", 0.1), ("minmax", 0.0), ("none", 100.0)],
)
def test_normalisation_by_hand(volume: np.ndarray, regions: Regions, normalisation: str, background: float) -> None:
    """The background of 100 becomes 100/200 - 1, 100/1000, 0 or stays, and the shape is (n, 1, 50, 50)."""
    images = make_images(extract([volume], "window", regions), Preprocessing(normalisation=normalisation))
    assert images.shape == (1, 1, 50, 50)
    assert images.dtype == np.float32
    assert images[0, 0, -1, 0] == pytest.approx(background)


@pytest.mark.parametrize("normalisation", ["max", "minmax", "zscore"])
def test_normalisation_sees_what_the_crop_leaves_out(volume: np.ndarray, regions: Regions, normalisation: str) -> None:
    """A bright corner outside the crop changes the image: the whole slice is normalised, then cropped."""
    glowing = volume.copy()
    glowing[35:49, 0, 0] = 60_000
    before, after = (
        make_images(extract([v], "window", regions), Preprocessing(normalisation=normalisation))
        for v in (volume, glowing)
    )
    assert not np.allclose(before, after)


def test_zscore_is_standard_over_the_slice(volume: np.ndarray, regions: Regions) -> None:
    """Each whole slice has mean 0 and standard deviation 1."""
    plane = normalise(extract([volume], "window", regions), "zscore")[0]
    assert plane.mean() == pytest.approx(0, abs=1e-5)
    assert plane.std() == pytest.approx(1, abs=1e-5)


def test_scale_of_a_scan_does_not_matter_but_for_none(volume: np.ndarray, regions: Regions) -> None:
    """Ten times the counts give the same image under every normalisation that is one."""
    both = extract([volume, volume * np.uint16(10)], "window", regions)
    for name in NORMALISE:
        one, ten = make_images(both, Preprocessing(normalisation=name))
        assert np.allclose(one, ten, atol=1e-4) == (name != "none")


def test_whole_slice_can_be_kept(volume: np.ndarray, regions: Regions) -> None:
    """Without a crop the image is the slice, 109x91."""
    assert make_images(extract([volume], "single", regions), Preprocessing(crop=None)).shape == (1, 1, 109, 91)


def test_extracts_join_in_order(volume: np.ndarray, regions: Regions) -> None:
    """Joined parts equal the extraction in one go, and `take` picks rows."""
    parts = [extract([v], "window", regions) for v in (volume, volume * np.uint16(2))]
    joined = join_extracts(parts)
    np.testing.assert_array_equal(joined.occipital, [200, 400])
    np.testing.assert_array_equal(joined.take(np.array([1])).planes, parts[1].planes)
    assert joined.slices.shape == (2, 5, 50, 50)


def test_image_snr_by_hand(regions: Regions) -> None:
    """Contrast 10 over a reference that alternates +-1 is 10, whatever the scale and offset of the image."""
    plane = np.zeros(SHAPE[1:], dtype=np.float32)
    plane[90:94, 40:50] = np.where(np.arange(10) % 2, 1.0, -1.0)
    plane[40:44, 30:49] = 10
    planes = np.stack([plane, 3 * plane + 7])
    np.testing.assert_allclose(compute_image_snr(planes, regions), [10, 10], rtol=1e-5)
    # Pooled: reference pixels -1, 1, 4, 10; sd of (-1, 1, 4, 10) is sqrt(17.25), contrast (10 + 30) / 2.
    assert compute_pooled_snr(planes, regions) == pytest.approx(20 / np.sqrt(17.25), rel=1e-5)


def test_pooled_snr_without_each_image(volume: np.ndarray, regions: Regions) -> None:
    """Left out one by one, the pooled figure is that of the others."""
    planes = extract([volume, volume * np.uint16(2), volume * np.uint16(5)], "window", regions).planes
    left_out = [compute_pooled_snr(np.delete(planes, i, axis=0), regions) for i in range(3)]
    np.testing.assert_allclose(compute_left_out_snr(planes, regions), left_out, rtol=1e-6)


@pytest.mark.parametrize(("field", "value"), [("slices", "all"), ("normalisation", "softmax")])
def test_unknown_choice_is_refused(field: str, value: str) -> None:
    """The message names the option and what exists."""
    with pytest.raises(UsageError, match=rf"(?s){field} '{value}'.*use one of"):
        Preprocessing(**{field: value})  # type: ignore[arg-type]
