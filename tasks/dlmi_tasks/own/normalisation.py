"""Normalisation per channel, by figures of the training split alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spec import Images

CHUNK_BYTES = 1 << 25  # of float64 at a time

Moments = NDArray[np.float64]  # (n, channel, 4): mean, variance, lowest and highest value


@dataclass(frozen=True)
class Normaliser:
    """Map of each channel, x -> (x - shift) / scale; a constant channel keeps the scale 1."""

    kind: str
    shift: NDArray[np.float32]  # (channel,)
    scale: NDArray[np.float32]

    def __call__(self, images: Images) -> Images:
        """Normalise images (n, channel, ...) in place, and return them."""
        if self.kind != "none":
            axes = (-1, *(1,) * (images.ndim - 2))
            images -= self.shift.reshape(axes)
            images /= self.scale.reshape(axes)
        return images

    def describe(self) -> dict[str, object]:
        """Kind and figures, as plain data."""
        return {"kind": self.kind, "shift": self.shift.tolist(), "scale": self.scale.tolist()}


def list_chunks(n: int, size: int, chunk_bytes: int = CHUNK_BYTES) -> Iterator[slice]:
    """Slices over `n` examples of `size` values, a few MiB of float64 each."""
    step = max(1, chunk_bytes // (8 * size))
    return (slice(start, start + step) for start in range(0, n, step))


def compute_moments(images: Images) -> Moments:
    """Mean, variance, lowest and highest value of each image and channel, from which those of any split follow."""
    flat = images.reshape(*images.shape[:2], -1)
    parts = [_compute_chunk(flat[part]) for part in list_chunks(len(flat), max(1, flat[:1].size))]
    return np.concatenate(parts)


def _compute_chunk(flat: Images) -> Moments:
    wide = flat.astype(np.float64)
    return np.stack([wide.mean(2), wide.var(2), wide.min(2), wide.max(2)], axis=2)


def make_normaliser(kind: str, moments: Moments) -> Normaliser:
    """Normaliser of images whose moments are given.

    Source: T. F. Chan et al., "Algorithms for computing the sample variance" (1983), for the pooled variance.
    """
    mean, variance, lowest, highest = np.moveaxis(moments, 2, 0)
    shift, scale = np.zeros(mean.shape[1]), np.ones(mean.shape[1])
    if kind == "standard":
        shift, scale = mean.mean(0), np.sqrt(variance.mean(0) + mean.var(0))
    elif kind == "minmax":
        shift, scale = lowest.min(0), highest.max(0) - lowest.min(0)
    scale = np.where(scale > 0, scale, 1.0)
    return Normaliser(kind, shift.astype(np.float32), scale.astype(np.float32))
