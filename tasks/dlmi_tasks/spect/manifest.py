"""Manifest of the splits: each patient as a keyed hash, which names nobody, and the proof that nobody is in two.

Subject numbers are few, so a plain hash could be undone by trying them all. The key is a secret of this machine.
"""

import hmac
import secrets
from itertools import combinations
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.files.archives import cache_dir
from dlmi_tasks.files.disk import hold, keep
from dlmi_tasks.spect.data import SpectDataset

KEY_BYTES = 32
ID_LENGTH = 16  # characters of a hash that are kept: 64 bits


def load_key(cache: Path | None = None) -> bytes:
    """The machine's secret, made on the first call and never written into a manifest.

    A damaged one is made again: a short key could be found by trying. In a cache that cannot be written it is new
    each time.
    """
    path = (cache or cache_dir()) / "spect-subject-key"
    with hold(path):
        key = _read_key(path)
        if key is None:
            key = secrets.token_bytes(KEY_BYTES)
            keep(path, lambda file: file.write(key))
    return key


def _read_key(path: Path) -> bytes | None:
    try:
        with parsing(f"{path}: no key", "make another"):
            key = read_bytes(path, KEY_BYTES)
    except DataError:
        return None
    return key if len(key) == KEY_BYTES else None


def hash_subject(subject: str, key: bytes) -> str:
    return hmac.digest(key, subject.encode(), "sha256").hex()[:ID_LENGTH]


def make_manifest(data: SpectDataset, key: bytes) -> dict[str, object]:
    """Splits of `data` as plain data: hashed subjects in sorted order, array hashes, and the check of both.

    Raises:
        DataError: a subject is in two splits.
    """
    splits = {
        name: sorted({hash_subject(str(subject), key) for subject in np.unique(scans.subjects)})
        for name, scans in data.splits.items()
    }
    return {
        "data": data.name,
        "subject_ids": "HMAC-SHA256 with a secret of the machine that made the split, first 64 bits",
        "splits": splits,
        "sha256": data.sha256,
        "n_subjects_shared": check_splits(data.name, splits),
    }


def check_splits(name: str, splits: dict[str, list[str]]) -> dict[str, int]:
    """Subjects that each pair of splits shares, counted from the lists themselves: all zero, or an error.

    Raises:
        DataError: a subject is in two splits, or twice in one.
    """
    shared = {f"{a}/{b}": len(set(splits[a]) & set(splits[b])) for a, b in combinations(splits, 2)}
    repeated = [split for split, subjects in splits.items() if len(set(subjects)) != len(subjects)]
    crossing = [pair for pair, count in shared.items() if count]
    if crossing or repeated:
        where = ", ".join(crossing + repeated)
        raise DataError(
            f"split manifest of {name}, field splits: subjects are listed twice in {where}",
            "make the splits again; a patient belongs to one split",
        )
    return shared
