"""Tasks of this package."""

import numpy as np

import dlmi_bench as db


def make_task() -> db.Task:
    """Make a task of SYNTHETIC images: is there a blob in the noise?"""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=900)
    row, column = np.mgrid[:16, :16]
    images = rng.normal(0, 1, (900, 1, 16, 16)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        y, x = rng.uniform(4, 12, 2)
        image[0] += 2 * label * np.exp(-((row - y) ** 2 + (column - x) ** 2) / 4)
    return db.Task.from_arrays(
        images,
        labels,
        name="blobs",
        class_names=("empty", "blob"),
        is_synthetic=True,
        default_models=("blob-cnn", "softmax"),
    )
