"""Small data of one's own: arrays, folders, manifests and torch datasets, all drawn with numpy."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

N, N_CLASSES = 60, 3


def make_images(n: int = N, shape: tuple[int, ...] = (8, 9), seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def make_labels(n: int = N) -> NDArray[np.int64]:
    return np.arange(n) % N_CLASSES


def write_folder(folder: Path, n: int = N, suffix: str = ".png") -> Path:
    """Grey images in folders a, b and c, the number of the image being its name."""
    for row, (image, label) in enumerate(zip(make_images(n), make_labels(n), strict=True)):
        path = folder / "abc"[label] / f"{row:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def write_manifest(folder: Path, **columns: Any) -> Path:
    """Manifest of `write_folder`: file, class, and the columns that are given, one value for each row."""
    write_folder(folder)
    columns = {
        "file": [f"{'abc'[row % 3]}/{row:03d}.png" for row in range(N)],
        "class": list("abc" * (N // 3)),
    } | columns
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


class Items:
    """A dataset of (image, class); its length may lie, and its images may differ at each reading."""

    def __init__(self, images: Any, labels: Any, *, length: int | None = None, noise: float = 0.0) -> None:
        self.images, self.labels, self.noise = images, labels, noise
        self.length = len(labels) if length is None else length
        self.classes = ["a", "b", "c"]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import torch

        image = self.images[index]
        return (image + self.noise * torch.rand(image.shape).numpy() if self.noise else image), self.labels[index]


def make_items(n: int = N, seed: int = 0, **settings: Any) -> Items:
    images = np.random.default_rng(seed).normal(3.0, 2.0, (n, 2, 6, 5)).astype(np.float32)
    return Items(images, make_labels(n).tolist(), **settings)
