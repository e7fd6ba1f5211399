"""Files that nobody can be trusted with: bombs, damage in every format, numbers that are none."""

import bz2
import gzip
import io
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from safetensors.torch import save

from dlmi_bench.errors import BenchError, DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.files.archives import read_member
from dlmi_tasks.files.cache import load_or_make
from dlmi_tasks.files.limits import GZIP, MIB, inflate, list_lines, parse_number
from dlmi_tasks.spect.anatomy.grid import SHAPE
from dlmi_tasks.spect.cohort.cohort import CohortSpec, sample_patient
from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.ppmi.writer import Scan, write_dicom, write_nifti
from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.volumes.read import read_volume
from dlmi_tasks.training.weights import parse_weights
from dlmi_tasks.usps.files import load_rows

BOMB_MIB, PEAK_MIB = 1024, 400  # what a bomb would fill; what reading it may take
N_MUTATIONS = 60
KEPT = {"a": np.arange(500), "b": np.ones((30, 40), np.float32)}
MEMBER = "x/data.txt"
STAGES = "PATNO,EVENT_ID,PAG_NAME,INFODT,PDSTATE,NHY\n" + "3000,BL,NUPDRS3,03/2012,,2\n" * 40
ESL = "".join(f"{i}.0 {' '.join(['0.125'] * 256)}\n" for i in range(10)).encode()
# Put into files: digits past Python's limit, nesting past its stack, and what only looks like a number.
SPLICES = (
    b"9" * 5000,
    b"(" * 3000,
    b"[" * 3000,
    bytes(40),
    b"\xff" * 8,
    b"0_3",
    "\uff13".encode(),
    b"1e999",
    b'"',
    b"\n",
)


def make_zeros(byte: bytes = b"\0", *, n_mib: int = BOMB_MIB, wbits: int = 31) -> bytes:
    """A stream of so many MiB of one byte, made in no time of one block again and again. Its checksum is wrong."""
    packer = zlib.compressobj(9, wbits=wbits)
    head = packer.compress(byte * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(byte * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (n_mib - 1) + packer.flush()


def make_dicom(folder: Path) -> Path:
    path = folder / "x.dcm"
    volume = np.random.default_rng(0).integers(0, 3000, SHAPE, dtype=np.uint16)
    write_dicom(path, volume, Scan(Visit(sample_patient(CohortSpec(), 0)), 0))
    return path


def make_deflated(folder: Path) -> Path:
    path = make_dicom(folder)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    content = path.read_bytes()
    start = 144 + struct.unpack("<I", content[140:144])[0]  # behind the group length and what it counts
    path.write_bytes(content[:start] + make_zeros(wbits=-15))
    return path


def make_run_length(folder: Path) -> Path:
    """One frame of 8 MiB of runs, 128 of a byte each."""
    path = make_dicom(folder)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = RLELossless
    frame = struct.pack("<16L", 2, 64, 64, *[0] * 13) + b"\x81\x00" * (4 * MIB)
    dataset.PixelData = pydicom.encaps.encapsulate([frame])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.save_as(path)
    return path


def make_wheel(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.whl", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(MEMBER, bytes(65 * MIB))
    return folder / "x.whl"


def write(name: str, content: bytes, folder: Path) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
    return path


def read_table(path: Path) -> object:
    return load_tables([path])


def read_weights(path: Path) -> object:
    return {name: w.numpy().tobytes() for name, w in parse_weights(path.read_bytes(), path).items()}


def read_cached(path: Path) -> object:
    """The kept arrays; made again or not, they are always the right ones."""
    found = load_or_make("x", lambda: KEPT, cache=path.parent.parent)
    return {name: array.tobytes() for name, array in found.items()}


BOMBS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], str]] = {
    "deflated DICOM": (make_deflated, read_volume, "more than 65 MiB"),
    "run-length DICOM": (make_run_length, read_volume, "PixelData"),
    "nii.gz": (lambda folder: write("x.nii.gz", make_zeros(), folder), read_volume, "more than 65 MiB"),
    "gz of newlines": (
        lambda folder: write("x.gz", make_zeros(b"\n"), folder), partial(load_rows, layout="esl"), "more than 64 MiB"
    ),
    "gz of one line": (
        lambda folder: write("x.gz", gzip.compress(b"1 " * MIB), folder), partial(load_rows, layout="esl"), "line 1 is"
    ),
    "bz2": (
        lambda folder: write("x.bz2", bz2.compress(bytes(MIB)) * BOMB_MIB, folder),
        partial(load_rows, layout="libsvm"),
        "more than 64 MiB",
    ),
    "gz of empty members": (
        lambda folder: write("x.nii.gz", gzip.compress(b"") * MIB, folder), read_volume, "512 compressed members"
    ),
    "tar.gz": (
        lambda folder: write("x.tar.gz", make_zeros(), folder), partial(read_member, member="x"), "more than 128 MiB"
    ),
    "wheel": (make_wheel, partial(read_member, member=MEMBER), "larger than 64 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_are_refused_before_they_fill_memory(case: str, tmp_path: Path) -> None:
    """A small file that stands for a gigabyte is refused by name, and reading it takes a fraction of that."""
    make, read, message = BOMBS[case]
    path = make(tmp_path)
    assert path.stat().st_size < 32 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(BenchError, match=message) as caught:
            read(path)
        peak_mib = tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
    assert str(path) in caught.value.cause
    assert caught.value.remedy
    assert peak_mib < PEAK_MIB


def test_bomb_in_the_cache_is_made_again(tmp_path: Path) -> None:
    """Kept arrays that claim a gigabyte, and headers that claim more than there is, are a miss."""
    path = write("data/x.npz", b"", tmp_path)
    shape = "9" * 5000, str(10**9), "-1", "(" * 3000  # digits past Python's limit, 8 GB, none, nesting
    heads = [f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({text},)}}\n".encode() for text in shape]
    members = [b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head for head in heads]
    object_array = io.BytesIO()
    np.save(object_array, np.array([None, {}]))
    for member in (*members, object_array.getvalue(), bytes(300 * MIB)):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("a.npy", member)
        tracemalloc.start()
        read_cached(path)
        peak_mib = tracemalloc.get_traced_memory()[1] / MIB
        tracemalloc.stop()
        assert peak_mib < 100


def test_small_file_of_weights_stays_small(tmp_path: Path) -> None:
    """One number cannot stand for 2**36, and an archive that is compressed is not torch's own."""
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(1).expand(1 << 36)}, path)
    with pytest.raises(DataError, match="'a' and those before it are larger than the file"):
        read_weights(path)
    torch.save({"a": torch.zeros(1 << 10)}, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    with pytest.raises(DataError, match="a compressed archive"):
        read_weights(tmp_path / "b.pth")


def test_weights_with_a_name_without_end(tmp_path: Path) -> None:
    """Over the message about a class with so long a name torch itself would search for hours."""
    name = b"a" * 300_000
    path = write("a.pth", make_pth(is_zip=False).replace(b"_rebuild_tensor_v2", name), tmp_path)
    with pytest.raises(DataError, match="a name of 3000"):
        read_weights(path)


def test_huge_files_and_pipes_are_not_read(tmp_path: Path) -> None:
    """A terabyte is refused by its size; of a table of something else the header is read and no more."""
    write("s.csv", STAGES.encode(), tmp_path)
    for name in ("x.nii", "x.csv"):
        with (tmp_path / name).open("wb") as file:
            file.write(b"protein,level\n")
            file.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe.csv")
    assert len(load_tables(sorted(tmp_path.glob("*.csv"))).stages) == 40
    with pytest.raises(DataError, match="larger than 68157440 bytes"):
        read_volume(tmp_path / "x.nii")
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes(tmp_path / "pipe.csv", 1)


def make_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(MEMBER)
        member.size = 3000
        tar.addfile(member, io.BytesIO(random.Random(0).randbytes(3000)))
    return buffer.getvalue()


def make_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, random.Random(0).randbytes(1500) + bytes(1500))
    return buffer.getvalue()


def make_pth(*, is_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"a.weight": torch.ones(8, 8)}, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def make_nifti(folder: Path, suffix: str) -> bytes:
    volume = np.zeros(SHAPE, dtype=np.uint16)
    volume[30:60] = np.arange(109)[:, None]
    write_nifti(folder / f"made{suffix}", volume)
    return (folder / f"made{suffix}").read_bytes()


def make_kept(folder: Path) -> bytes:
    load_or_make("x", lambda: KEPT, cache=folder / "made")
    return (folder / "made" / "data" / "x.npz").read_bytes()


# Name of the file, how to make a sound one, how to read it, and whether a checksum would show any change.
FORMATS: dict[str, tuple[Callable[[Path], bytes], Callable[[Path], object], bool]] = {
    "x.dcm": (lambda folder: make_dicom(folder).read_bytes(), lambda path: read_volume(path).volume.tobytes(), False),
    "x.nii": (partial(make_nifti, suffix=".nii"), lambda path: read_volume(path).volume.tobytes(), False),
    "x.nii.gz": (partial(make_nifti, suffix=".nii.gz"), lambda path: read_volume(path).volume.tobytes(), True),
    "zip.train": (lambda _: ESL, lambda path: load_rows(path, "esl")[0].tobytes(), False),
    "zip.train.gz": (lambda _: gzip.compress(ESL), lambda path: load_rows(path, "esl")[0].tobytes(), True),
    "zip.train.bz2": (lambda _: bz2.compress(ESL), lambda path: load_rows(path, "esl")[0].tobytes(), True),
    "MDS_UPDRS_Part_III.csv": (lambda _: STAGES.encode(), read_table, False),
    "data/x.npz": (make_kept, read_cached, True),
    "x.tar.gz": (lambda _: make_tar(), partial(read_member, member=MEMBER), True),
    "x.whl": (lambda _: make_zip(), partial(read_member, member=MEMBER), True),
    "x.pth": (lambda _: make_pth(is_zip=True), read_weights, True),
    "y.pth": (lambda _: make_pth(is_zip=False), read_weights, False),
    "x.safetensors": (lambda _: save({"a.weight": torch.ones(8, 8)}), read_weights, False),
}


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Flip a bit, overwrite a number, cut, repeat or splice, more often at the start, where headers are."""
    mutated = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(min(len(mutated), rng.choice((1400, len(mutated)))))
        kind = rng.randrange(5)
        if kind == 0:
            mutated[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            mutated[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), rng.randbytes(4)))
        elif kind == 2:
            mutated = mutated[: at + 1]
        elif kind == 3:
            mutated[at:at] = mutated[at : at + rng.randrange(1, 64)]
        else:
            mutated[at:at] = rng.choice(SPLICES)
    return bytes(mutated)


@pytest.mark.filterwarnings("ignore")  # of the parsers, about damage that is refused or does not matter
@pytest.mark.parametrize("name", FORMATS)
def test_no_damage_is_a_traceback(name: str, tmp_path: Path) -> None:
    """Whatever is done to a file, it is read or refused by name; where there is a checksum, nothing wrong is read."""
    make, read, has_checksum = FORMATS[name]
    content = make(tmp_path)
    path = write(f"w/{name}", content, tmp_path)
    expected = read(path)
    rng = random.Random(name)
    for _ in range(N_MUTATIONS):
        path.write_bytes(mutate(content, rng))
        found = refusal = None
        try:
            found = read(path)
        except BenchError as error:
            refusal = error
        if refusal:
            assert str(path) in refusal.cause
            assert refusal.remedy
            assert len(refusal.cause) < 1000
        else:
            assert found == expected or not has_checksum


def test_compressed_data_are_read_to_their_end() -> None:
    """Truncated, continued and damaged streams are refused; several members count as one file."""
    content = gzip.compress(ESL)
    assert inflate(content * 2, GZIP, len(ESL) * 2) == ESL * 2
    for damaged in (content[:-1], content + b"x", content[:-8] + bytes(8), content[:20]):
        with pytest.raises((ValueError, EOFError, zlib.error)):
            inflate(damaged, GZIP, len(ESL))
    with pytest.raises(ValueError, match="more than"):
        inflate(content, GZIP, len(ESL) - 1)


@pytest.mark.parametrize(
    "text", ["0_3", "\uff13", "\xb2", "", " 1", "1 ", "0x3", "1e", "1e999", "nan", "-inf", "9" * 5000]
)
def test_what_is_no_number(text: str) -> None:
    """What Python or Unicode also take for a number is none, nor is one without end."""
    with pytest.raises(ValueError, match=r"is not (a number|finite)"):
        parse_number(text)


def test_numbers() -> None:
    """Signs, points and exponents are read as they stand."""
    assert [parse_number(t) for t in ("3", "-1.000", "+.5", "2.", "1e-3")] == [3, -1, 0.5, 2, 0.001]


def test_lines_have_ceilings() -> None:
    """Too many lines, too long a line, too much in all, and a NUL byte."""
    read = partial(list_lines, max_lines=2, max_line_chars=4, max_chars=6)
    assert list(read(io.StringIO("ab\ncd"))) == ["ab\n", "cd"]
    for text, message in (("a\n" * 3, "2 lines"), ("abcde", "line 1 is longer"), ("abc\nabc", "6 char"), ("\0", "NUL")):
        with pytest.raises(ValueError, match=message):
            list(read(io.StringIO(text)))


def test_border_turns_everything_into_errors() -> None:
    """A parser's exception of any kind gets file and remedy; lack of memory has a remedy of its own."""
    said = {RecursionError("deep"): "RecursionError deep", zlib.error("z"): "z", KeyError("a"): "KeyError 'a'"}
    said |= {OverflowError(): "OverflowError", struct.error("s"): "s"}
    for error, words in said.items():
        with pytest.raises(DataError, match=f"file: bad: {words}\n"), parsing("file: bad", "get another"):
            raise error
    with pytest.raises(DataError, match="out of memory") as caught, parsing("file", "get another"):
        raise MemoryError
    assert "memory" in caught.value.remedy
    with pytest.raises(KeyboardInterrupt), parsing("file", "get another"):
        raise KeyboardInterrupt
