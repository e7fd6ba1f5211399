"""DICOM files of any geometry, which the product does not write: fields go where real cameras keep them."""

from itertools import permutations, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dlmi_tasks.spect.ppmi.layout import NM_STORAGE
from dlmi_tasks.spect.volumes.fields import MACROS

Place = Literal["top", "detector", "shared", "frames"]
# All 48 ways to store a volume: the patient's axis (0 left, 1 back, 2 up) along each stored axis, and its sign.
TURNS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def store(truth: np.ndarray, axes: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Stored (i, j, k) of a volume whose axes run to the patient's left, back and up."""
    return truth.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]


def make_directions(axes: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Direction of each stored axis as a row, in DICOM's axes."""
    return np.eye(3)[list(axes)] * np.array(signs)[:, None]


def make_dicom(voxels: np.ndarray) -> Dataset:
    """A reconstruction of (column, row, frame) without a word on its geometry."""
    dataset, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = NM_STORAGE, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = NM_STORAGE, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ImageType = "NM", ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"]
    dataset.Columns, dataset.Rows, dataset.NumberOfFrames = voxels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(voxels.dtype.kind == "i")
    dataset.PixelData = voxels.transpose(2, 1, 0).astype(voxels.dtype.newbyteorder("<")).tobytes()
    return dataset


def put(dataset: Dataset, place: Place, **fields: Any) -> Dataset:
    """Set fields at top level, with the detector, or in functional groups; there a list holds one value a frame."""
    for name, value in fields.items():
        if place == "top":
            setattr(dataset, name, value)
        elif place == "detector":
            setattr(_open(dataset, "DetectorInformationSequence"), name, value)
        elif place == "shared":
            setattr(_open(_open(dataset, "SharedFunctionalGroupsSequence"), MACROS[name]), name, value)
        else:
            for i in range(int(dataset.NumberOfFrames)):
                frame = _open(dataset, "PerFrameFunctionalGroupsSequence", i)
                setattr(_open(frame, MACROS[name]), name, value[i])
    return dataset


def _open(dataset: Dataset, sequence: str, index: int = 0) -> Dataset:
    """Item of a sequence, made where it is not there."""
    if sequence not in dataset:
        setattr(dataset, sequence, [])
    items = dataset[sequence].value
    while len(items) <= index:
        items.append(Dataset())
    return items[index]


def save(dataset: Dataset, folder: Path) -> Path:
    path = folder / "x.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path
