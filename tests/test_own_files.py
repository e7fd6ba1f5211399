"""Files of one's own: .npz, folders, manifests, and images in every format that is read."""

import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dlmi_bench.errors import DataError
from dlmi_tasks.own.sources import images as own_images
from dlmi_tasks.own.sources.arrays import Layout
from dlmi_tasks.own.sources.images import read_image
from dlmi_tasks.spec import Task
from own_examples import N, make_images, make_labels, write_folder, write_manifest

X, Y = make_images(), make_labels()
RAMP = np.arange(24, dtype=np.float32).reshape(4, 6)


def load_raw(task: Task) -> list[NDArray[np.float32]]:
    """Images of the splits as read, in the order of the files."""
    splits = task.load().split(None)
    return [part.images for part in (splits.train, splits.validation, splits.test.read("a"))]  # type: ignore[union-attr]


def test_medmnist_layout(tmp_path: Path) -> None:
    """Labels (n, 1) and colour in the last axis, as MedMNIST's files have them, give its official splits."""
    parts = {part: make_images(n, (28, 28, 3), n) for part, n in (("train", 30), ("val", 12), ("test", 18))}
    arrays = {f"{part}_images": images for part, images in parts.items()}
    arrays |= {f"{part}_labels": make_labels(len(images))[:, None] for part, images in parts.items()}
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)  # type: ignore[arg-type]
    task = Task.from_npz(tmp_path / "mnist.npz", normalisation="none")
    assert (task.name, task.input_shape, task.class_names) == ("mnist", (3, 28, 28), ("0", "1", "2"))
    for found, images in zip(load_raw(task), parts.values(), strict=True):
        assert np.array_equal(found, np.moveaxis(images, -1, 1))


def test_medmnist_volumes(tmp_path: Path) -> None:
    """(n, 28, 28, 28) in that layout are grey volumes; (n, 2, 8, 9) keeps its channels."""
    for shape, expected in (((6, 6, 6), (1, 6, 6, 6)), ((2, 8, 9), (2, 8, 9)), ((8, 9), (1, 8, 9))):
        images = make_images(N, shape)
        np.savez(tmp_path / "a.npz", train_images=images, train_labels=Y, test_images=images, test_labels=Y)
        assert Task.from_npz(tmp_path / "a.npz").input_shape == expected


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y")])
def test_npz_without_splits_is_split(names: tuple[str, str], tmp_path: Path) -> None:
    """One array of images gives the same data as handing it over; other arrays in the file are left alone."""
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X, Y), strict=True)), more=np.array([None]))
    data = Task.from_npz(tmp_path / "a.npz").load()
    assert data.sha256 == Task.from_arrays(X, Y, name="b").load().sha256
    assert data.describe()["files"] == ["a.npz"]


def test_making_a_task_reads_no_images(tmp_path: Path) -> None:
    """Images damaged behind their header are seen by load, with the file's name, and not before."""
    path = tmp_path / "a.npz"
    np.savez(path, labels=Y, images=X)
    content = bytearray(path.read_bytes())
    place = content.index(X.tobytes()[:50])
    content[place + 1000] ^= 1
    path.write_bytes(content)
    task = Task.from_npz(path)
    with pytest.raises(DataError, match=r"a.npz: cannot be read to its end: Bad CRC-32"):
        task.load()


def test_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    """A header that promises 4 TB in a small file is refused where it is read."""
    path = tmp_path / "a.npz"
    np.savez(path, labels=Y)
    with zipfile.ZipFile(path, "a") as archive, archive.open("images.npy", "w") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (60, 131072, 131072)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(DataError, match=r"images: holds 128 bytes, its header says \(60, 131072, 131072\)"):
        Task.from_npz(path)


def test_folder_of_classes(tmp_path: Path) -> None:
    """Folder names, sorted, are the classes; images are in the order of their paths; hidden files are passed over."""
    write_folder(tmp_path / "mine")
    (tmp_path / "mine" / ".hidden").mkdir()
    (tmp_path / "mine" / "a" / ".DS_Store").write_text("")
    task = Task.from_folder(tmp_path / "mine", normalisation="none")
    assert (task.name, task.class_names, task.input_shape) == ("mine", ("a", "b", "c"), (1, 8, 9))
    order = np.argsort(Y, kind="stable")
    same = Task.from_arrays(X[order], Y[order], name="x", class_names="abc").load()
    assert task.load().sha256 == same.sha256
    assert task.load().describe()["files"][0] == "a/000.png"  # type: ignore[index]


@pytest.mark.parametrize("words", [("train", "val", "test"), ("training", "validation", "testing")])
def test_folders_of_splits(words: tuple[str, ...], tmp_path: Path) -> None:
    """train, val and test hold folders of classes; the names are those of all three together."""
    for part in words:
        write_folder(tmp_path / "mine" / part, 30)
    found = load_raw(Task.from_folder(tmp_path / "mine", normalisation="none"))
    order = np.argsort(Y[:30], kind="stable")
    for images in found:
        assert np.array_equal(images[:, 0], X[:30][order])


def test_groups_of_files_by_a_function(tmp_path: Path) -> None:
    """A function of the path, relative to the folder, says whose each image is."""
    task = Task.from_folder(write_folder(tmp_path / "m"), groups=lambda path: f"{path.parent}{int(path.stem) // 6}")
    assert task.load().describe()["n_groups"] == 30


def test_order_of_the_classes_may_be_stated(tmp_path: Path) -> None:
    """class_names gives the same names in another order."""
    task = Task.from_folder(write_folder(tmp_path / "mine"), class_names="cab")
    assert task.class_names == ("c", "a", "b")
    same = Task.from_arrays(X, np.repeat([1, 2, 0], 20), name="x").load()
    assert task.load().sha256["labels"] == same.sha256["labels"]


def test_manifest_with_all_columns(tmp_path: Path) -> None:
    """Files, words as classes, patients, splits and sites come from the columns that are named."""
    split = np.repeat(["train", "validation", "test"], [36, 12, 12])
    columns = {"who": np.arange(N) // 2, "part": split, "where": np.arange(N) % 2, "age": [50] * N}
    path = write_manifest(tmp_path, **columns)
    task = Task.from_csv(path, image="file", label="class", group="who", split="part", site="where")
    same = Task.from_arrays(X, Y, name="x", groups=columns["who"], split=split, sites=columns["where"])
    assert (task.name, task.class_names) == ("table", ("a", "b", "c"))
    assert task.load().sha256 == same.load().sha256


def test_numbers_in_a_manifest_are_sorted_as_numbers(tmp_path: Path) -> None:
    """Classes 2, 10 and 9 are 2, 9, 10; with class_names that are other words, numbers are the labels themselves."""
    path = write_manifest(tmp_path, stage=["2", "10", "9"] * 20, label=Y)
    assert Task.from_csv(path, image="file", label="stage").class_names == ("2", "9", "10")
    task = Task.from_csv(path, image="file", label="label", class_names=["no", "mild", "severe"])
    assert task.class_names == ("no", "mild", "severe")
    assert task.load().sha256["labels"] == Task.from_arrays(X, Y, name="x").load().sha256["labels"]


def test_manifest_with_tabs_and_a_root(tmp_path: Path) -> None:
    """A .tsv has tabs; the files may be in another folder, which root names."""
    path = write_manifest(tmp_path / "images")
    table = tmp_path / "table.tsv"
    table.write_text("\ufeff" + path.read_text().replace(",", "\t"), encoding="utf-8")
    assert Task.from_csv(table, image="file", label="class", root=tmp_path / "images").input_shape == (1, 8, 9)


def test_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    """A link that leads elsewhere is no file of the manifest."""
    path = write_manifest(tmp_path / "mine")
    (tmp_path / "mine" / "a" / "000.png").rename(tmp_path / "x.png")
    (tmp_path / "mine" / "a" / "000.png").symlink_to(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"'a/000.png' leads out of this folder"):
        Task.from_csv(path, image="file", label="class")


def write(path: Path, array: Any, **options: Any) -> NDArray[np.float32]:
    Image.fromarray(array).save(path, **options)
    return read_image(path, Layout())


def test_pictures_keep_their_values(tmp_path: Path) -> None:
    """PNG and TIFF of 8 and 16 bits, float TIFF and colour are read value by value; JPEG nearly."""
    grey, deep = RAMP.astype(np.uint8) * 10, RAMP.astype(np.uint16) * 2500
    for suffix in (".png", ".tif", ".TIFF"):
        assert np.array_equal(write(tmp_path / f"a{suffix}", grey)[0], grey)
        assert np.array_equal(write(tmp_path / f"b{suffix}", deep)[0], deep)
    colour = np.stack([grey, 255 - grey, grey // 2], axis=-1)
    assert np.array_equal(write(tmp_path / "c.png", colour), np.moveaxis(colour, -1, 0))
    assert np.array_equal(write(tmp_path / "d.tif", RAMP / 7)[0], RAMP / 7)
    assert abs(write(tmp_path / "e.jpg", grey, quality=100)[0] - grey).max() < 4


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK"])
def test_other_modes_are_refused(mode: str, tmp_path: Path) -> None:
    """Palettes, transparency and print colours are converted by the user, who knows what they mean."""
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(DataError, match=f"mode {mode}") as caught:
        read_image(path, Layout())
    assert "image.convert('L')" in caught.value.remedy


def test_pages_are_refused(tmp_path: Path) -> None:
    """A TIFF of several pages is not cut to its first."""
    pages = [Image.fromarray(RAMP.astype(np.uint8))] * 3
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"a.tif: 3 pages"):
        read_image(tmp_path / "a.tif", Layout())


def test_picture_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    """A PNG whose header promises 9000 x 9000 pixels is refused without decoding."""
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = struct.pack(">II", 9000, 9000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a.png: 9000 x 9000 pixels"):
        read_image(tmp_path / "a.png", Layout())


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or what it decompresses to, over the limit is not read to its end."""
    monkeypatch.setattr(own_images, "MAX_BYTES", 1000)
    (tmp_path / "a.npy").write_bytes(bytes(2000))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(200_000)))
    for name in ("a.npy", "a.nii.gz"):
        with pytest.raises(DataError, match=f"{name}: cannot be read: (larger|holds more) than"):
            read_image(tmp_path / name, Layout())


def test_arrays_in_files(tmp_path: Path) -> None:
    """.npy holds an image with or without channels, or a volume where n_dims says so."""
    for shape, layout, expected in (
        ((8, 9), Layout(), (1, 8, 9)),
        ((2, 8, 9), Layout(), (2, 8, 9)),
        ((5, 8, 9), Layout(3), (1, 5, 8, 9)),
        ((8, 9, 3), Layout(None, channels_last=True), (3, 8, 9)),
    ):
        array = np.random.default_rng(0).normal(size=shape)
        np.save(tmp_path / "a.npy", array)
        found = read_image(tmp_path / "a.npy", layout)
        assert found.shape == expected
        assert np.array_equal(np.sort(found, axis=None), np.sort(array.astype(np.float32), axis=None))
    np.save(tmp_path / "a.npy", np.array([{}]))
    with pytest.raises(DataError, match=r"a.npy: cannot be read: objects"):
        read_image(tmp_path / "a.npy", Layout())


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volumes_are_turned_as_their_header_says(suffix: str, tmp_path: Path) -> None:
    """(slice, row, column) with the lowest slice first, anterior row first, the right side on the left, scaled."""
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)  # x from left to right, y to the front, z up
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(2.0, 1.0)
    nibabel.save(image, tmp_path / f"a{suffix}")
    turned = nibabel.Nifti1Image(np.ascontiguousarray(voxels[::-1]), np.diag([-1, 1, 1, 1]))
    turned.header.set_slope_inter(2.0, 1.0)
    nibabel.save(turned, tmp_path / f"b{suffix}")
    expected = nibabel.load(tmp_path / f"a{suffix}").get_fdata()[::-1, ::-1].transpose(2, 1, 0)
    for name in "ab":
        assert np.array_equal(read_image(tmp_path / f"{name}{suffix}", Layout()), expected[None])


def test_flat_volumes_are_images_and_a_fourth_axis_is_channels(tmp_path: Path) -> None:
    """One slice is an image; (x, y, z, 2) has two channels."""
    for shape, expected in (((4, 5, 1), (1, 5, 4)), ((4, 5, 6, 2), (2, 6, 5, 4)), ((4, 5, 1, 3), (3, 5, 4))):
        nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), tmp_path / "a.nii")
        assert read_image(tmp_path / "a.nii", Layout()).shape == expected


def test_truncated_volume_is_refused(tmp_path: Path) -> None:
    """Voxels that are missing at the end are said to be."""
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:-8])
    with pytest.raises(DataError, match=r"do not fit into .* truncated"):
        read_image(tmp_path / "a.nii", Layout())


def test_progress_is_told(tmp_path: Path) -> None:
    """Loading tells how many of all images are done."""
    told: list[tuple[int, int | None]] = []
    Task.from_folder(write_folder(tmp_path / "mine")).load(on_progress=lambda done, total: told.append((done, total)))
    assert told == [(row + 1, N) for row in range(N)]
