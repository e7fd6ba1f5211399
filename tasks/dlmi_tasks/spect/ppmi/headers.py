"""What a DICOM file says of itself, from its first bytes, so that thousands of files of another kind cost little."""

import io
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlmi_bench.files import parsing, read_head
from dlmi_tasks.spect.volumes.dicom import BIG_ENDIAN, EXPLICIT, IMPLICIT, RUN_LENGTH, read_meta

if TYPE_CHECKING:
    from pydicom import Dataset

HEAD_BYTES = 1 << 16  # holds a header without its per-frame groups, and inflates to 64 MiB at most
REMEDY = "leave it out; the other images are read all the same"
TAGS = (
    "SOPClassUID Modality PatientID SeriesDescription ImageType StudyDate SeriesDate AcquisitionDate NumberOfFrames "
    "Rows Columns RadiopharmaceuticalInformationSequence RotationInformationSequence"
).split()
PIXELS = 0x7FE00010
JPEG = "1.2.840.10008.1.2.4"  # and what follows it: compressed voxels under a plain header


@dataclass(frozen=True)
class Header:
    """What matters of a header; empty where it is not said."""

    modality: str = ""
    subject: str = ""
    description: str = ""
    image_type: tuple[str, ...] = ()
    day: date | None = None
    tracer: str = ""

    @property
    def is_projection(self) -> bool:
        """Whether it holds raw projections, which nobody has reconstructed yet."""
        kinds = {word.upper() for word in self.image_type}
        return "TOMO" in kinds and not any("RECON" in word for word in kinds)


def read_header(path: Path) -> Header:
    """Read the header of a DICOM file; one that is deflated or cut within a sequence tells nothing here.

    Raises:
        DataError: not a DICOM file, or not readable.
    """
    with parsing(f"{path}: cannot be read", REMEDY), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _make_header(_parse(path, read_head(path, HEAD_BYTES)))


def _parse(path: Path, content: bytes) -> "Dataset":
    from pydicom.dataset import Dataset
    from pydicom.filereader import read_dataset
    from pydicom.tag import BaseTag, Tag

    stream = io.BytesIO(content)
    syntax = str(read_meta(path, stream).get("TransferSyntaxUID"))
    if syntax not in (IMPLICIT, EXPLICIT, BIG_ENDIAN, RUN_LENGTH) and not syntax.startswith(JPEG):
        return Dataset()
    form = syntax == IMPLICIT, syntax != BIG_ENDIAN
    try:
        tags: list[BaseTag | int] = [Tag(name) for name in TAGS]
        return read_dataset(stream, *form, stop_when=lambda tag, *_: tag >= PIXELS, specific_tags=tags)
    except EOFError:
        return Dataset()


def _make_header(dataset: "Dataset") -> Header:
    days = (_parse_day(dataset.get(name)) for name in ("AcquisitionDate", "SeriesDate", "StudyDate"))
    image_type = dataset.get("ImageType") or ()
    return Header(
        modality=str(dataset.get("Modality") or ""),
        subject=str(dataset.get("PatientID") or "").strip(),
        description=str(dataset.get("SeriesDescription") or ""),
        image_type=(image_type,) if isinstance(image_type, str) else tuple(map(str, image_type)),
        day=next(filter(None, days), None),
        tracer=_find_tracer(dataset),
    )


def _parse_day(text: Any) -> date | None:
    digits = str(text or "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])) if digits.isascii() else None
    except ValueError:
        return None


def _find_tracer(dataset: "Dataset") -> str:
    for item in dataset.get("RadiopharmaceuticalInformationSequence") or ():
        if name := str(item.get("Radiopharmaceutical") or ""):
            return name
    return ""
