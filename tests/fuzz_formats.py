"""Every format that the program reads from outside: a sound file of it, and the reader that users reach.

A format is one row of FORMATS. `tests/fuzz.py` damages the files and says what came of it.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zipfile
from bz2 import compress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import nibabel
import numpy as np
from PIL import Image

from dlmi_bench.api import judge, judge_accuracies
from dlmi_bench.gating.settings import load_settings
from dlmi_bench.gating.sides.baseline import MANIFEST, load_baseline, load_predictions, put_file
from dlmi_bench.gating.sides.files import load_labelled
from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
from dlmi_bench.instruments.onnx.contents import count_operators, count_parameters
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import find_input_shape
from dlmi_bench.instruments.packing.container import MAGIC as PACKED_MAGIC
from dlmi_bench.instruments.packing.container import pack, unpack
from dlmi_bench.instruments.packing.figures import measure_file_packing
from dlmi_bench.records import Artifact
from dlmi_bench.store import FILENAME, Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact, read_artifact, to_npy
from dlmi_bench.store.pytest_benchmark import import_benchmarks
from dlmi_bench.store.rows import StoredRow
from dlmi_bench.suite.suites import load_suite
from dlmi_reports.answers.costs import read_costs
from dlmi_reports.answers.table import load_table
from dlmi_reports.claims.changes import judge_results
from dlmi_reports.claims.file import NAME as CLAIMS_NAME
from dlmi_reports.claims.file import load_claims
from dlmi_reports.claims.lock import make_lock, write_lock
from dlmi_reports.page import make_page
from dlmi_reports.results.load import load_results
from dlmi_tasks.files.archives import read_member
from dlmi_tasks.files.cache import load_or_make
from dlmi_tasks.own.sources.arrays import Layout
from dlmi_tasks.own.sources.images import read_image
from dlmi_tasks.spec import Task
from dlmi_tasks.spect.anatomy.grid import SHAPE
from dlmi_tasks.spect.cohort.cohort import CohortSpec, sample_patient
from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.ppmi.writer import Scan, write_dicom, write_nifti
from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.volumes.read import read_volume
from dlmi_tasks.usps.files import load_rows
from foreign_files import make_file
from report_stores import keep_answers, keep_pictures, train_record
from stand_ins import write_product
from study_tables import REGIONS, write_book
from study_tables import write as write_table

SUITE = """
tasks = ["usps"]
models = ["softmax"]
backends = ["onnxruntime"]
n_seeds = 2
n_processes = 2
n_rounds = 20
batches = [1, 64]
energy_window_s = 0.5
"""
SETTINGS = 'tau = 0.05\nbatches = [1]\ninconclusive = "warn"\n[allow."usps/cnn-*"]\ntau = 0.1\n'
CLAIMS = """
[[claim]]
id = "a"
kind = "non_inferior"
margin = 0.01
against = ["b"]
task = "usps"
model = "m"
sentence = "It is."
source = "a test"
"""
STATS = {"min": 1, "max": 5, "mean": 3, "stddev": 1, "median": 3, "q1": 2, "q3": 4, "rounds": 9, "iterations": 1}
BENCHMARKS = {
    "benchmarks": [{"fullname": "test_a", "stats": STATS, "extra_info": {"model": "m", "batch": 1}}],
    "datetime": "2026-11-23T00:00:00",
    "version": "5.3.1",
    "machine_info": {"cpu": {"brand_raw": "abacus"}, "python_version": "3.11"},
    "commit_info": {"id": "c0ffee"},
}
STAGES = "PATNO,EVENT_ID,PAG_NAME,INFODT,PDSTATE,NHY\n3000,BL,NUPDRS3,03/2012,,2\n3001,V04,NUPDRS3,04/2013,OFF,3\n"


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        make: Writes sound files into a folder and returns the one to damage.
        read: Reads it as a user's command would, and returns what came of it, comparable by `repr`.
        is_checked: A checksum can tell damage from sound content, so that nothing else may be accepted.
        weight: Share of the mutations; a slow reader gets fewer.
        bound: Longest time that one reading may take [s].
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    is_checked: bool = False
    weight: float = 1.0
    bound: float = 20.0


def _write(name: str, content: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def _digest(*arrays: Any) -> str:
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(a).tobytes() + str(a.shape).encode() for a in arrays)
    ).hexdigest()


def _save_arrays(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def make_workbook(folder: Path) -> Path:
    return write_book(folder, stages=[line.split(",") for line in STAGES.splitlines()])


def read_workbook(path: Path) -> object:
    """Its stages. A file that cannot be read is listed in its account, which here counts as refused."""
    tables = load_tables(path.parent)
    if any(file.role == "unreadable" for file in tables.files):
        raise_seen()
    return tables.stages


def make_study(folder: Path) -> Path:
    """Images, groups and ratios beside stages; the collection is the one that is damaged."""
    columns = ",".join(f"{name}_REF_CWM" for name in REGIONS)
    write_table(folder, "Xing.csv", f"PATNO,EVENT_ID,DATSCAN_LIGAND,{columns}", "80001,BL,,1,2,3,4")
    write_table(folder, "Status.csv", "PATNO,COHORT", "80001,1")
    rows = ("I1,80001,PD,F,61,Baseline,3/1/2016,Recon", "I2,80001,PD,F,62,Month 12,3/21/2017,Recon")
    return write_table(folder, "c.csv", "Image Data ID,Subject,Group,Sex,Age,Visit,Acq Date,Description", *rows)


def make_baseline(folder: Path) -> Path:
    (folder / "files").mkdir()
    onnx = put_file(folder, "onnx", b"onnx", ".onnx")
    answers = put_file(folder, "predictions", to_npy(np.arange(9, dtype=np.uint8)), ".npy")
    training = {"seed": 1, "predictions": answers.model_dump(), "test_accuracy": 0.9, "training_s": 1.5}
    entry = {
        "task": "usps",
        "model": "m",
        "input_shape": [1, 16, 16],
        "data_sha256": {"test": "ab"},
        "artifacts": [onnx.model_dump()],
        "trainings": [training],
        "costs": {"macs": 5},
        "operators": {"Gemm": 1},
    }
    content = {"schema_version": 1, "reason": "r", "created": "c", "environment": {}, "entries": [entry]}
    return _write(MANIFEST, json.dumps(content))(folder)


def read_baseline(path: Path) -> object:
    baseline = load_baseline(path.parent)
    return baseline, [load_predictions(path.parent, t).tolist() for e in baseline.entries for t in e.trainings]


def make_damaged_baseline(folder: Path) -> Path:
    """The file with predictions is the one that is damaged."""
    make_baseline(folder)
    return next((folder / "files").glob("*.npy"))


def make_store(folder: Path) -> Path:
    store = Store(folder)
    store.add_done([(_make_trained(folder, index), "f") for index in range(3)])
    store.add_failed([("train/toy/b/0", "f")], "no memory")
    store.close()
    return folder / FILENAME


def _make_trained(folder: Path, index: int) -> Any:
    return keep_pictures(keep_answers(folder, train_record("a", index, 0.9, 1.0), wrong=[index]))


def read_store(path: Path) -> object:
    """What is done by key: fewer cells are damage that was seen, so only what is there must be right."""
    store = Store(path.parent, must_exist=True)
    try:
        done = {key: repr(a.record) for key, a in store.current().items() if a.status == "done"}
    finally:
        store.close()
    sound = {f"train/toy/a/{index}" for index in range(3)}
    if set(done) < sound:
        raise_seen()
    return sorted(done.items())


def make_lock_file(folder: Path) -> Path:
    """The lock of the claims, beside results of their task and their file."""
    make_store(folder)
    stated = load_claims(_write(CLAIMS_NAME, CLAIMS.replace('"usps"', '"toy"'))(folder))
    data = {"toy": {"test": "a" * 64}}
    return write_lock(make_lock(stated, version="1", file=CLAIMS_NAME, data=data, suite={"n_seeds": 5}), folder)


def read_lock(path: Path) -> object:
    """What verdicts say of it; the time of the lock and its digest are any."""
    return judge_results(load_results(Store(path.parent, must_exist=True))).lock.lines[1:]


def raise_seen() -> None:
    from dlmi_bench.errors import StoreError

    raise StoreError("a damaged row is a failed attempt", "run again")


def make_record(folder: Path) -> Path:
    """A record as JSON, which `read_record` signs and stores: damage that no digest tells."""
    (folder / "out").mkdir()
    return _write("record.json", _make_trained(folder / "out", 0).model_dump_json())(folder)


def read_record(path: Path) -> object:
    """A whole page of it, beside a sound seed: tables, plots and claims read all details."""
    folder = path.parent / "out"
    for file in (*folder.glob(f"{FILENAME}*"),):
        file.unlink()
    text = path.read_bytes().decode(errors="replace")
    store = Store(folder)
    try:
        store.add_done([(_make_trained(folder, 1), "f")])
        store.add_rows([StoredRow("train/toy/a/0", "f", "done", text, None, "now").sign()])
        if len(load_results(store).records) < 2:
            raise_seen()
        page = make_page(load_results(store))
    finally:
        store.close()
    return [table.rows for section in page.sections for table in section.tables if section.name != "origin"]


ARTIFACT = b"scores " * 50


def make_artifact(folder: Path) -> Path:
    return artifact_path(folder, put_artifact(folder, "test_scores", ARTIFACT, ".npy"))


def read_kept(path: Path) -> object:
    artifact = Artifact(role="test_scores", sha256=path.stem, size_bytes=len(ARTIFACT), suffix=".npy")
    return read_artifact(path.parents[2], artifact)


def make_packed(folder: Path) -> Path:
    """Grids, float16 and float32, dense and sparse, and integers."""
    rng = np.random.default_rng(0)
    sparse = np.where(rng.random((20, 30)) < 0.1, rng.integers(-3, 4, (20, 30)), 0) * np.float32(0.3)
    integers = rng.integers(-3, 3, (5, 5)).astype(np.int8)
    arrays = [sparse, rng.integers(-1, 2, (4, 9)) * np.float32(0.5), rng.random(7, np.float32), integers]
    model = make_file([], {"x": (1, [1])}, {"x": (1, [1])}, {f"w{i}": a for i, a in enumerate(arrays)})
    return _write("a.packed", pack(model))(folder)


def read_packed(path: Path, *, is_signed: bool = True) -> object:
    """Arrays of the file; with a right checksum where `is_signed` is False."""
    content = path.read_bytes()
    head = len(PACKED_MAGIC)
    if not is_signed:
        content = content[:head] + crc32(content[head + 4 :]).to_bytes(4, "little") + content[head + 4 :]
    found = unpack(content)
    return _digest(*found), [array.dtype for array in found]


def read_onnx(path: Path) -> object:
    graph = load_graph(path, is_whole=False)
    return (
        find_input_shape(graph),
        count_operators(graph),
        count_parameters(graph),
        compute_peak_activation_bytes(graph),
        measure_file_packing(path),
    )


@cache
def make_esl() -> str:
    values = np.random.default_rng(0).uniform(-1, 1, (4, 256)).round(3)
    return "".join(f"{label}.0000 " + " ".join(map(str, row)) + "\n" for label, row in enumerate(values))


def read_esl(path: Path) -> object:
    return _digest(*load_rows(path, "esl"))


def make_scan(write: Callable[..., None], suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        counts = np.random.default_rng(0).integers(0, 3000, SHAPE, dtype=np.uint16)
        path = folder / f"scan_I1{suffix}"
        scan = (Scan(Visit(sample_patient(CohortSpec(), 0)), 0),) if suffix == ".dcm" else ()
        write(path, counts, *scan)
        return path

    return make


def make_packed_scan(folder: Path) -> Path:
    whole = make_scan(write_nifti, ".nii")(folder)
    path = folder / "scan_I2.nii.gz"
    path.write_bytes(gzip.compress(whole.read_bytes(), 1))
    whole.unlink()
    return path


def read_scan(path: Path) -> object:
    return _digest(read_volume(path).volume)


def make_cached(folder: Path) -> Path:
    load_or_make("x", lambda: {"a": np.arange(9.0)}, cache=folder)
    return folder / "data" / "x.npz"


def read_cached(path: Path) -> object:
    """A damaged cache is made again, so that every reading gives the same."""
    return _digest(load_or_make("x", lambda: {"a": np.arange(9.0)}, cache=path.parents[1])["a"])


def make_weights(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import torch
        from safetensors.torch import save_file

        path, tensors = folder / f"w{suffix}", {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}
        save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
        return path

    return make


def read_weights(path: Path) -> object:
    from dlmi_tasks.training.weights import parse_weights

    found = parse_weights(path.read_bytes(), path)
    return {name: _digest(tensor.numpy()) for name, tensor in sorted(found.items())}


MEMBER = b"numbers " * 500


def make_tar(folder: Path) -> Path:
    path = folder / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("p/data.txt")
        info.size = len(MEMBER)
        archive.addfile(info, io.BytesIO(MEMBER))
    return path


def make_wheel(folder: Path) -> Path:
    path = folder / "a.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/data.txt", MEMBER)
    return path


def read_archive(path: Path) -> object:
    return read_member(path, "p/data.txt", hashlib.sha256(MEMBER).hexdigest())


def read_task(path: Path) -> object:
    """A task of one's own from a file, with all its images."""
    task = Task.from_npz(path, name="mine") if path.suffix == ".npz" else read_manifest(path)
    return task.class_names, task.input_shape, task.load().sha256


def make_manifest(folder: Path) -> Path:
    for row in range(12):
        Image.fromarray(np.full((4, 5), row, np.uint8)).save(folder / f"{row}.png")
    lines = [f"{row}.png,{'ab'[row % 2]},p{row // 2}" for row in range(12)]
    return _write("table.csv", "\n".join(["file,class,who", *lines]))(folder)


def read_manifest(path: Path) -> Task:
    return Task.from_csv(path, image="file", label="class", group="who", name="mine")


def make_image(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
        path = folder / f"image{suffix}"
        if suffix == ".npy":
            np.save(path, pixels)
        elif suffix == ".nii":
            nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), path)
        else:
            Image.fromarray(pixels).save(path)
        return path

    return make


def read_pixels(path: Path) -> object:
    return _digest(read_image(path, Layout(2, channels_last=True)))


ANSWERS = (
    "case_id;ground_truth;patient;net;soft@1:ill;soft@1:well\n"
    "c1;ill;p1;ill;0,75;0,25\nc2;well;p1;ill;.2;.8\nc3;well;p2;well;1;0\n"
)
ACCURACIES = "algorithm,accuracy,n\nnew,0.92,500\nold,0.9,500\n"
COSTS = "algorithm,parameters,latency_s,latency_lo_s,latency_hi_s,energy_j,source\nnet,10,.1,.09,.11,2,NVML\n"


def read_answers(path: Path) -> object:
    """What the command prints, which reads, keeps and judges all of it."""
    return str(judge(path))


def read_import(path: Path) -> object:
    """Figures, without what the name of the imported cell carries of the file's hash."""
    return re.sub("mine-[0-9a-f]{8}", "", repr(import_benchmarks(path, path.parent / "out").figures))


FORMATS = {
    "suite.toml": Format(_write("mine.toml", SUITE), lambda path: load_suite(str(path))),
    "gate.toml": Format(_write("gate.toml", SETTINGS), load_settings),
    "claims.toml": Format(_write("claims.toml", CLAIMS), load_claims),
    "claims.lock.json": Format(make_lock_file, read_lock),
    "benchmark.json": Format(_write("mine.json", json.dumps(BENCHMARKS)), read_import),
    "baseline.json": Format(make_baseline, read_baseline),
    "baseline files": Format(make_damaged_baseline, lambda p: read_baseline(p.parents[1] / MANIFEST), is_checked=True),
    "test set .npz": Format(
        _write("t.npz", _save_arrays(x=np.ones((3, 4), np.float32), y=np.arange(3))),
        lambda path: _digest(load_labelled(path).examples, load_labelled(path).labels),
        is_checked=True,
    ),
    "store.sqlite": Format(make_store, read_store, is_checked=True),
    "stored record": Format(make_record, read_record, weight=0.3, bound=60.0),
    "artifact": Format(make_artifact, read_kept, is_checked=True),
    "ONNX": Format(lambda folder: write_product(folder / "m.onnx"), read_onnx),
    "USPS text": Format(lambda folder: _write("zip.train", make_esl())(folder), read_esl),
    "USPS .gz": Format(
        lambda folder: _write("zip.train.gz", gzip.compress(make_esl().encode()))(folder), read_esl, is_checked=True
    ),
    "USPS .bz2": Format(
        lambda folder: _write("zip.train.bz2", compress(make_esl().encode()))(folder), read_esl, is_checked=True
    ),
    "DICOM": Format(make_scan(write_dicom, ".dcm"), read_scan, weight=0.3),
    "NIfTI": Format(make_scan(write_nifti, ".nii"), read_scan, weight=0.3),
    "NIfTI .gz": Format(make_packed_scan, read_scan, is_checked=True, weight=0.3),
    "table .csv": Format(
        lambda folder: _write("MDS_UPDRS_Part_III.csv", STAGES)(folder), lambda path: load_tables(path.parent)
    ),
    "table .xlsx": Format(make_workbook, read_workbook, is_checked=True, weight=0.5),
    "study tables": Format(make_study, lambda path: load_tables(path.parent)),
    "own .npz": Format(
        _write("mine.npz", _save_arrays(images=np.arange(240.0).reshape(12, 4, 5), labels=np.arange(12) % 2)),
        read_task,
        is_checked=True,
    ),
    "answers .csv": Format(_write("answers.csv", ANSWERS), read_answers, weight=0.3),
    "answers .npz": Format(
        _write(
            "a.npz", _save_arrays(case_id=np.arange(9), ground_truth=np.arange(9) % 3, net=np.eye(3)[np.arange(9) % 3])
        ),
        read_answers,
        is_checked=True,
        weight=0.3,
    ),
    "accuracies": Format(_write("paper.csv", ACCURACIES), lambda path: str(judge_accuracies(path)), weight=0.3),
    "costs": Format(
        _write("costs.csv", COSTS), lambda path: [r.figures for r in read_costs(load_table(path), "t", ["net"])]
    ),
    "own manifest": Format(make_manifest, read_task),
    **{
        f"image {s}": Format(make_image(s), read_pixels, is_checked=s == ".png")
        for s in (".png", ".jpg", ".tif", ".nii", ".npy")
    },
    "cache .npz": Format(make_cached, read_cached, is_checked=True),
    "weights .safetensors": Format(make_weights(".safetensors"), read_weights, weight=0.5),
    "weights .packed": Format(make_packed, read_packed, is_checked=True),
    "weights .packed, signed": Format(make_packed, lambda path: read_packed(path, is_signed=False)),
    "weights .pth": Format(make_weights(".pth"), read_weights, weight=0.5, is_checked=True),
    "archive .tar.gz": Format(make_tar, read_archive, is_checked=True),
    "archive .whl": Format(make_wheel, read_archive, is_checked=True),
}
