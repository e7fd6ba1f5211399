"""Synthetic data for the examples: blobs of three sizes in noise. Put your own data in their place."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASS_NAMES = ("small", "medium", "large")
N_CLASSES = len(CLASS_NAMES)


def draw_blobs(
    n: int, shape: tuple[int, ...], seed: int, offset: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw images or volumes with values around 0.3 to 0.7.

    Args:
        n: Number of images.
        shape: Of one image, (height, width) or (depth, height, width).
        seed: Seed of the random numbers.
        offset: Added to every value, as a site's scanner would.

    Returns:
        Images, (n, *shape), and labels, (n,).
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(N_CLASSES, size=n)
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in shape), indexing="ij"))
    images = np.empty((n, *shape), np.float32)
    for image, label in zip(images, labels, strict=True):
        centre = np.array([rng.uniform(0.35, 0.65) * side for side in shape]).reshape(-1, *(1,) * len(shape))
        width = min(shape) * (0.07 + 0.03 * label) * rng.uniform(0.9, 1.1)
        blob = np.exp(-((grid - centre) ** 2).sum(0) / (2 * width**2))
        image[...] = 0.3 + offset + 0.4 * blob + rng.normal(0, 0.12, shape)
    return images, labels


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return grey values from 0 to 255."""
    return (255 * images.clip(0, 1)).astype(np.uint8)


def write_npz(path: Path) -> Path:
    """Write an .npz file in MedMNIST's layout: uint8 images of 28x28x3, labels (n, 1), three official splits."""
    arrays = {}
    for seed, (split, n) in enumerate({"train": 900, "val": 150, "test": 450}.items()):
        images, labels = draw_blobs(n, (28, 28), seed)
        arrays[f"{split}_images"] = to_uint8(images)[..., None].repeat(3, axis=-1)
        arrays[f"{split}_labels"] = labels[:, None].astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def write_patients(folder: Path) -> Path:
    """Write PNG files of 60 patients from two sites, ten images each, and a manifest.csv that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for patient in range(60):
        site = "ab"[patient % 2]
        images, labels = draw_blobs(10, (24, 24), seed=patient, offset=0.1 * (site == "b"))
        for index, (image, label) in enumerate(zip(to_uint8(images), labels, strict=True)):
            name = f"p{patient:02}-{index}.png"
            Image.fromarray(image).save(folder / name)
            split = "test" if patient % 5 == 0 else "train"
            rows.append((name, CLASS_NAMES[label], f"p{patient:02}", site, split))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "patient", "site", "split"), *rows])
    return folder / "manifest.csv"
