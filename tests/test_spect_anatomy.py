"""Anatomies: the affine fit, the coverage maps, the measured regions and their cache."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dlmi_tasks.files import disk
from dlmi_tasks.files.cache import compute_key, load_or_make
from dlmi_tasks.spect.anatomy.anatomy import Anatomies, load_regions
from dlmi_tasks.spect.anatomy.atlas import Labels, compute_centroids, compute_coverage, fit_affine
from dlmi_tasks.spect.anatomy.grid import SHAPE, TO_MNI, compute_sigma, crop_center, find_box, make_positions


def test_affine_fit_recovers_a_known_map() -> None:
    """Twelve parameters are found exactly from points that follow an affine map."""
    rng = np.random.default_rng(0)
    matrix = np.vstack([rng.normal(size=(3, 4)), [0, 0, 0, 1]])
    source = {i: np.append(rng.normal(size=3) * 50, 1) for i in range(20)}
    fitted, residual_mm = fit_affine(source, {i: matrix @ p for i, p in source.items() if i != 7})
    np.testing.assert_allclose(fitted, matrix, atol=1e-9)
    assert residual_mm < 1e-9


def test_centroid_of_a_cube() -> None:
    """The centroid of a labelled cube is its middle, in millimetres; the brainstem is no landmark."""
    labels = np.zeros((10, 10, 10), dtype=np.uint8)
    labels[2:5, 4:7, 6:9] = 12
    labels[0, 0, 0] = 83
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    (found,) = compute_centroids(labels, affine).items()
    assert found[0] == 12
    np.testing.assert_allclose(found[1], [6, 15, 28, 1])


def test_coverage_keeps_volume() -> None:
    """A block of 20x20x20 mm fills 8 ml of the 2 mm grid and lies where the affine puts it."""
    labels = np.zeros((60, 60, 60), dtype=np.uint8)
    labels[20:40, 20:40, 20:40] = 1
    brain = Labels(
        "block", labels, np.array([[1.0, 0, 0, -30], [0, 1, 0, -40], [0, 0, 1, 0], [0, 0, 0, 1]]), np.eye(4), 0
    )
    coverage = compute_coverage(brain, (1,))
    assert coverage.sum() * 0.008 == pytest.approx(8.0, rel=0.01)
    middle = [(coverage * axis).sum() / coverage.sum() for axis in make_positions()]
    np.testing.assert_allclose(middle, [-0.5, -10.5, 29.5], atol=0.3)


def test_grid_runs_from_the_right_front_bottom() -> None:
    """The first voxel is at the patient's right, at the front, below: x 90, y 90, z -78 mm."""
    np.testing.assert_array_equal(TO_MNI @ [0, 0, 0, 1], [90, 90, -78, 1])
    assert [axis.size for axis in make_positions()] == [SHAPE[2], SHAPE[1], SHAPE[0]]
    assert compute_sigma(2.354820045 * 2) == pytest.approx(1.0)


def test_crop_takes_rows_29_to_78_and_columns_20_to_69() -> None:
    """The central 50x50 of 109x91 starts at row 29 and column 20."""
    plane = np.add.outer(1000 * np.arange(109), np.arange(91)).astype(np.float32)
    cropped = crop_center(plane)
    assert cropped.shape == (50, 50)
    assert (cropped[0, 0], cropped[-1, -1]) == (29_020, 78_069)


def test_box_holds_the_mask() -> None:
    """The box is tight, and its margin stops at the array's edge."""
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1, 2:4, 6] = True
    assert find_box(mask) == (slice(1, 2), slice(2, 4), slice(6, 7))
    assert find_box(mask, margin=2)[0] == slice(0, 4)


def test_seven_anatomies_of_plausible_size(anatomies: Anatomies) -> None:
    """The MNI brain and six donors have nuclei of a few millilitres on each side."""
    assert len(anatomies.names) == len(anatomies.structures) == 7
    for maps in anatomies.structures:
        for side in "LR":
            assert 2 < maps[f"caudate_{side}"].sum(dtype=float) * 0.008 < 8
            assert 5 < maps[f"putamen_{side}"].sum(dtype=float) * 0.008 < 11


def test_left_is_on_the_right_of_the_image(anatomies: Anatomies) -> None:
    """Every structure of the left hemisphere lies in the columns above the middle."""
    columns = np.arange(SHAPE[2])
    for maps in anatomies.structures:
        left, right = ((maps[f"putamen_{side}"].sum((0, 1), dtype=float) * columns).sum() for side in "LR")
        assert left / maps["putamen_L"].sum(dtype=float) > 55
        assert right / maps["putamen_R"].sum(dtype=float) < 35


def test_crop_holds_the_striatum_and_not_the_reference(anatomies: Anatomies) -> None:
    """The whole striatum is inside the crop, the occipital reference outside: ratios must be formed before cropping."""
    inside = np.zeros(SHAPE, dtype=bool)
    inside[:, 29:79, 20:70] = True
    assert all((region <= inside).all() for region in anatomies.regions.striatal)
    assert not (anatomies.regions.occipital & inside).any()


def test_regions_alone_equal_those_of_the_anatomies(anatomies: Anatomies, spect_cache: Path) -> None:
    """The light cache of the regions holds the same masks."""
    regions = load_regions(spect_cache)
    np.testing.assert_array_equal(regions.occipital, anatomies.regions.occipital)
    np.testing.assert_array_equal(regions.striatal, anatomies.regions.striatal)


def test_cache_is_made_once_and_mended(tmp_path: Path) -> None:
    """A kept array is read back; a truncated or altered file is made anew."""
    calls = []

    def make() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"a": np.arange(5)}

    for _ in range(2):
        np.testing.assert_array_equal(load_or_make("x", make, cache=tmp_path)["a"], np.arange(5))
    assert len(calls) == 1
    path = tmp_path / "data" / "x.npz"
    path.write_bytes(path.read_bytes()[:-40])
    load_or_make("x", make, cache=tmp_path)
    assert len(calls) == 2
    with np.load(path) as kept:
        altered = {"a": np.arange(5) + 1, "digest": kept["digest"]}
    np.savez(path, **altered)
    np.testing.assert_array_equal(load_or_make("x", make, cache=tmp_path)["a"], np.arange(5))
    assert len(calls) == 3


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond `n_bytes`, as on a disk with no more space."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("n_bytes", [0, 100, 4096])
def test_full_disk_loses_nothing(tmp_path: Path, n_bytes: int) -> None:
    """Arrays that cannot be kept are returned, with a warning that names the file; no part of it stays."""
    arrays = {"a": np.arange(5000)}
    with full_disk(n_bytes), pytest.warns(RuntimeWarning, match=r"x\.npz: not kept"):
        found = load_or_make("x", lambda: arrays, cache=tmp_path)
    np.testing.assert_array_equal(found["a"], arrays["a"])
    assert [path.name for path in (tmp_path / "data").iterdir() if path.suffix != ".lock"] == []


def test_read_only_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lock what is kept is read and verified; what is not is made each time."""
    load_or_make("x", lambda: {"a": np.arange(5)}, cache=tmp_path)
    (tmp_path / "data" / "x.npz.lock").unlink()
    for name in "xy":
        (tmp_path / "data" / f"{name}.npz.lock").mkdir()

    def refuse(_: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(disk, "atomic_file", refuse)
    np.testing.assert_array_equal(load_or_make("x", dict, cache=tmp_path)["a"], np.arange(5))
    with pytest.warns(RuntimeWarning, match=r"y\.npz: not kept \(Read-only"):
        assert load_or_make("y", lambda: {"a": np.arange(5)}, cache=tmp_path)["a"].size == 5


def test_cache_with_one_changed_byte_is_made_again(tmp_path: Path) -> None:
    """Wherever the byte is, the arrays are the right ones."""
    arrays = {"a": np.arange(50), "b": np.ones((3, 4), dtype=np.float32)}
    load_or_make("x", lambda: arrays, cache=tmp_path, is_small=True)
    path = tmp_path / "data" / "x.npz"
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        found = load_or_make("x", lambda: arrays, cache=tmp_path, is_small=True)
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_cache_key_follows_what_is_asked_for() -> None:
    """Another request or another set of modules gives another key."""
    keys = {
        compute_key(1, modules=("dlmi_tasks.spect.anatomy.grid",)),
        compute_key(2, modules=("dlmi_tasks.spect.anatomy.grid",)),
        compute_key(1, modules=("dlmi_tasks.spect.anatomy.atlas",)),
    }
    assert len(keys) == 3
