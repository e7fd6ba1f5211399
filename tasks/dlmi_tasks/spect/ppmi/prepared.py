"""Scans as preprocessing needs them, kept by their content: a thousand are read once, not once a training."""

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.files.cache import ArrayDict, compute_key, load_or_make
from dlmi_tasks.spect.anatomy.anatomy import Regions
from dlmi_tasks.spect.anatomy.grid import Volume
from dlmi_tasks.spect.ppmi.layout import MAX_IMAGE_BYTES
from dlmi_tasks.spect.preprocess import Extracts, extract
from dlmi_tasks.spect.volumes.read import read_volume

REMEDY = "use images that are registered to the study's template, or say --register"
# Code that decides what is kept.
SOURCES = (
    "dlmi_tasks.spect.anatomy.grid",
    "dlmi_tasks.spect.preprocess",
    "dlmi_tasks.spect.ppmi.prepared",
    "dlmi_tasks.spect.volumes.read",
    "dlmi_tasks.spect.volumes.dicom",
    "dlmi_tasks.spect.volumes.nifti",
    "dlmi_tasks.spect.volumes.orientation",
    "dlmi_tasks.spect.volumes.resampling",
    "dlmi_tasks.spect.volumes.register",
    "dlmi_tasks.spect.volumes.guard",
)


@dataclass(frozen=True)
class Preparation:
    """How scans are prepared.

    Attributes:
        reference: What their content is compared with, or None.
        has_slices: Whether the single slices are wanted, which only the audit looks at; they are most of the memory.
    """

    slices: str
    regions: Regions
    reference: Volume | None
    registers: bool = False
    has_slices: bool = False
    cache: Path | None = None

    @cached_property
    def _key(self) -> str:
        return compute_key(self.slices, self.registers, self.reference is None, modules=SOURCES)

    def prepare(self, path: Path) -> Extracts:
        """Read a scan, or what was kept of it.

        Raises:
            DataError: it cannot be read, or its content cannot be trusted.
        """
        with parsing(f"{path}: cannot be read", "download it again, or leave it out"):
            digest = hashlib.sha256(read_bytes(path, MAX_IMAGE_BYTES)).hexdigest()
        key = hashlib.sha256(f"{self._key}{digest}".encode()).hexdigest()[:32]
        kept = load_or_make(f"scans/{key[:2]}/{key}", lambda: self._make(path), cache=self.cache)
        found = Extracts(**kept)
        # A copy: a view, though empty, would keep all of it in memory.
        return found if self.has_slices else replace(found, slices=found.slices[:, :0].copy())

    def _make(self, path: Path) -> ArrayDict:
        volume = read_volume(path, register=self.registers, reference=self.reference).volume
        with np.errstate(all="ignore"):  # what overflows is refused
            reference = float(volume[self.regions.occipital].mean())
            if reference <= 0:
                cause = f"{path}: field PixelData has mean {reference:g} in the occipital reference region"
                raise DataError(cause, REMEDY)
            found = asdict(extract([volume], self.slices, self.regions))
        if not all(np.isfinite(values).all() for values in found.values()):
            raise DataError(f"{path}: field PixelData has values too large or too small for a ratio", REMEDY)
        return found
