"""Audit of leakage between the parts of a split: the same image twice, nearly the same image, or the same group.

Large images are compared by sketches first: sums of their standardised values with random signs, which keep distances.
Of two images that correlate by 0.999 the sketches err by 0.0001; pairs above a lower threshold are compared in full.
Source: M. Charikar et al., "Finding frequent items in data streams" (2002), for the sketch.
"""

import hashlib
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.disguise import DisguisedDataset
from dlmi_tasks.own.dataset import OwnDataset
from dlmi_tasks.own.normalisation import list_chunks
from dlmi_tasks.spec import SPLIT_SEED, Arrays, Dataset, Images, Task

# Correlation of two images above which they count as one: two visits of one patient stay well below.
NEAR = 0.999
CANDIDATE = 0.997  # of sketches
N_SUMS = 1021  # of a sketch; a prime, so that rows and columns of images do not line up with it
MAX_PRODUCTS = 2e11  # multiply-accumulates of all comparisons of sketches, about 10 s on one core
MAX_VALUES = 1e9  # of all pairs that are compared in full, about as long
CHUNK_VALUES = 1 << 24  # correlations in memory at a time
TOO_MANY = "near duplicates: more pairs of images than can be compared within about 10 s"

Pairs = NDArray[np.intp]  # (pair, 2)


def audit_dataset(data: Dataset, task: Task) -> dict[str, Any]:
    """Audit the splits of training 0; with folds, the folds of repeat 0. A split that is read as a stream is left out.

    Returns:
        As audit_splits.
    """
    parts, reason = _list_parts(data, task)
    found = audit_splits(parts)
    return found | {"reason": "; ".join(filter(None, (reason, str(found["reason"]))))}


def _list_parts(data: Dataset, task: Task) -> tuple[dict[str, Arrays], str]:
    """Parts by name, not normalised where the data know them so, and why one is left out."""
    if isinstance(data, DisguisedDataset):  # a disguise makes no two images equal that were not
        return _list_parts(data.base, task)
    if isinstance(data, OwnDataset):
        return data.list_parts()
    splits = data.split(task.n_validation)
    assert isinstance(splits.train, Arrays)
    return {"train": splits.train, "validation": splits.validation, "test": splits.test.read("audit")}, ""


def audit_splits(parts: Mapping[str, Arrays]) -> dict[str, Any]:
    """Findings for each pair of parts, as plain data; `is_clean` is false where two parts share something.

    Returns:
        n_groups_shared (None where groups are not known), n_exact (images of the second part that are in the first,
        byte for byte), n_near (pairs that correlate above `near_correlation`; None where they are too many to compare)
        and closest_correlation, by pair; and the reason for what is None.
    """
    near = _find_all(parts)
    pairs: dict[str, dict[str, object]] = {}
    for a, b in combinations(parts, 2):
        found, closest = near.get((a, b), (None, None))
        pairs[f"{a}/{b}"] = {
            "n_groups_shared": _count_shared(parts[a], parts[b]),
            "n_exact": count_exact(parts[a], parts[b]),
            "n_near": None if found is None else len(found),
            "closest_correlation": closest,
        }
    counts = [pair[key] for pair in pairs.values() for key in ("n_groups_shared", "n_exact", "n_near")]
    reason = TOO_MANY if any(pair["n_near"] is None for pair in pairs.values()) else ""
    return {"pairs": pairs, "near_correlation": NEAR, "is_clean": not any(counts), "reason": reason}


def _count_shared(a: Arrays, b: Arrays) -> int | None:
    return None if a.groups is None or b.groups is None else len(np.intersect1d(a.groups, b.groups))


def count_exact(a: Arrays, b: Arrays) -> int:
    """Images of `b` that are, byte for byte, also in `a`."""
    known = {_hash(image) for image in a.images}
    return sum(_hash(image) in known for image in b.images)


def _hash(image: Images) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()


def _find_all(parts: Mapping[str, Arrays]) -> dict[tuple[str, str], tuple[Pairs | None, float | None]]:
    """Near pairs and the highest correlation by two parts; empty where they are too many to compare."""
    both = list(combinations(parts, 2))
    n_sums = max(min(N_SUMS, part.images[:1].size) for part in parts.values())
    if sum(len(parts[a]) * len(parts[b]) for a, b in both) * n_sums > MAX_PRODUCTS:
        return {}
    sketches = {name: make_sketches(part.images) for name, part in parts.items()}
    return {(a, b): _verify(parts[a].images, parts[b].images, sketches[a], sketches[b]) for a, b in both}


def find_near(a: Images, b: Images) -> tuple[Pairs | None, float | None]:
    """Pairs (position in a, position in b) of images (n, ..) that correlate above NEAR, and the highest correlation.

    The highest is that of the pair whose sketches correlate most. None, where too many pairs have to be compared.
    """
    return _verify(a, b, make_sketches(a), make_sketches(b))


def _verify(
    a: Images, b: Images, sketches_a: NDArray[np.float32], sketches_b: NDArray[np.float32]
) -> tuple[Pairs | None, float | None]:
    """Near pairs among those whose sketches are, compared in full."""
    candidates, best = _list_candidates(sketches_a, sketches_b, int(MAX_VALUES / a[0].size))
    if candidates is None:
        return None, None
    correlations = _correlate(a, b, candidates)
    closest = max(correlations.max(initial=-1), *_correlate(a, b, best))
    return candidates[correlations > NEAR], float(closest)


def _list_candidates(a: NDArray[np.float32], b: NDArray[np.float32], n_most: int) -> tuple[Pairs | None, Pairs]:
    """Pairs whose sketches correlate above CANDIDATE, None where they are more than `n_most`; and the closest pair."""
    found, n, best, closest = [np.empty((0, 2), np.intp)], 0, (0, 0), -np.inf
    step = max(1, CHUNK_VALUES // len(b))
    for start in range(0, len(a), step):
        products = a[start : start + step] @ b.T
        row, column = np.unravel_index(products.argmax(), products.shape)
        if products[row, column] > closest:
            closest, best = products[row, column], (start + int(row), int(column))
        n += int(np.count_nonzero(products > CANDIDATE))
        if n > n_most:
            return None, np.array([best])
        found.append(np.argwhere(products > CANDIDATE) + np.array([start, 0]))
    return np.concatenate(found), np.array([best])


def _correlate(a: Images, b: Images, pairs: Pairs) -> NDArray[np.float64]:
    """Correlation of each pair, of all values."""
    parts = [pairs[part] for part in list_chunks(len(pairs), a[0].size)]
    return np.concatenate([np.empty(0), *((_standardise(a[p[:, 0]]) * _standardise(b[p[:, 1]])).sum(1) for p in parts)])


def make_sketches(images: Images) -> NDArray[np.float32]:
    """Standardised images, (n, value); where there are more than N_SUMS, their sums with random signs, (n, sum)."""
    n, n_values = len(images), images[:1].size
    n_rows = -(-n_values // N_SUMS)
    signs = np.random.default_rng(SPLIT_SEED).choice([-1.0, 1.0], (n_rows, N_SUMS))
    sketches = np.empty((n, min(N_SUMS, n_values)), np.float32)
    for part in list_chunks(n, n_values):
        values = _standardise(images[part])
        if n_rows > 1:
            padded = np.pad(values, ((0, 0), (0, n_rows * N_SUMS - n_values)))
            values = _scale(np.einsum("nrs,rs->ns", padded.reshape(-1, n_rows, N_SUMS), signs))
        sketches[part] = values
    return sketches


def _standardise(images: Images) -> NDArray[np.float64]:
    """Images as vectors of mean 0 and length 1, (n, value); a constant one is 0."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    return _scale(flat - flat.mean(1, keepdims=True))  # exactly 0: float64 sums equal float32 values without rounding


def _scale(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors of length 1, or 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
