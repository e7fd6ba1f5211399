"""Command lines that nobody should type: each ends in words, before anything is measured, and none with a traceback."""

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dlmi_bench.cli.answers import DataAnswer
from dlmi_bench.cli.main import app
from dlmi_bench.cli.options import print_json
from dlmi_bench.errors import BenchError
from report_stores import fill_store
from stand_ins import check_answer

LONG = "9" * 5000
SHAPES = ("", "a", LONG, f"1,1,{LONG}", "1,1,0,0", "1,-1,16,16", "\uff11,1,16,16", "1_0,1,16,16", "nan,1", "1,1,16,16,")
SUBJECTS = ("", ":", "x", "x:", ".onnx", "nope.onnx", "folder", "empty.onnx", "junk.onnx", "pipe.onnx", "\x1b[31m.onnx")
SHARDS = (f"{LONG}/{LONG}", "\uff11/2", "1_0/20", " 1/2", "1/2/3", "/", "")
FILES = ("deep.toml", "long.toml", "bytes.toml", "pipe.toml", "folder", "nope.toml", "nan.toml")
LINES = [
    *(("count", "softmax", "--input", shape) for shape in SHAPES if shape),
    *(("count", subject) for subject in SUBJECTS),
    *(("profile", subject) for subject in SUBJECTS),
    *(("run", "--shard", shard) for shard in SHARDS if shard),
    *(("run", "--suite", file) for file in FILES),
    *(("claims", "--file", file) for file in FILES),
    *(("gate", "--settings", file) for file in FILES),
    *(("import-benchmark", file) for file in (*FILES, "deep.json", "nan.json")),
    *(("judge", *words, file) for words in ((), ("--table",)) for file in (*FILES, "zip.npz", "junk.parquet")),
    *(("judge", "cases.csv", option, file) for option in ("--costs", "--claims") for file in FILES),
    *(("judge", "cases.csv", option, "x") for option in ("--group", "--by", "--ignore", "--missing", "--case-id")),
    ("judge", "cases.csv", "--margin", "nan"),
    ("judge", "cases.csv", "--out", "junk.onnx"),
    ("judge", "cases.csv", "--report", "junk.onnx"),
    ("judge", "o\udcff.csv"),
    *(("baseline", "save", "--reason", "r", "--onnx", "junk.onnx", "--test", file) for file in ("zip.npz", *FILES)),
    *(("data", "spect", "--data-dir", place) for place in ("empty", "nope", "junk.onnx", "deep.toml")),
    *(("data", "usps", "--source", "folder", "--data-dir", place) for place in ("empty", "nope", "junk.onnx")),
    *(("report", "--out", place) for place in ("empty", "nope", "junk.onnx", "pipe.toml")),
    *(("gate", "--baseline", place) for place in ("empty", "nope", "junk.onnx", "pipe.toml")),
    *(("merge", place, "--to", "new") for place in ("empty", "nope", "junk.onnx", "pipe.toml")),
    ("data", "spect", "--montage", "nope/x.png"),
    ("gate", "--junit", "nope/x.xml"),
    ("gate", "--summary", "folder"),
    ("report", "--summary", "nope/x.md"),
    ("report", "--reference", ""),
    ("report", "--format", "\x00"),
    ("run", "latency"),
    ("run", "--fresh", "latencies"),
    ("run", "--out", "junk.onnx"),
    ("run", "--out", "o\udcff"),
    ("run", "--task", "\u202e"),
    ("run", "--weights-dir", "junk.onnx"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every ending that are not what they are called."""
    folder = tmp_path_factory.mktemp("place")
    contents = {
        "deep.toml": b"a = " + b"[" * 5000,
        "long.toml": b"n_seeds = " + LONG.encode(),
        "bytes.toml": b"\xff\xfa",
        "nan.toml": b"tau = nan\nn_seeds = nan\n",
        "deep.json": b"[" * 100_000,
        "nan.json": b'{"benchmarks": [NaN]}',
        "empty.onnx": b"",
        "junk.onnx": b"\x08\x07junk",
        "zip.npz": b"PK\x03\x04",
        "junk.parquet": b"PAR1junkPAR1",
        "cases.csv": b"case_id,ground_truth,a,b\n1,x,x,y\n2,y,y,y\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name in ("folder", "empty"):
        (folder / name).mkdir()
    for name in ("pipe.onnx", "pipe.toml"):
        os.mkfifo(folder / name)
    fill_store(folder / "out").close()
    return folder


def test_numbers_that_json_lacks_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinities, which strict readers refuse, are null at any depth."""
    print_json(DataAnswer(tasks={"a": {"b": [float("nan"), 1.5, {"c": float("inf")}]}}))
    answer: Any = check_answer("data", capsys.readouterr().out)
    assert answer["tasks"] == {"a": {"b": [None, 1.5, {"c": None}]}}


@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line)[:50].encode("ascii", "replace").decode())
def test_line_ends_in_words(line: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of this program or of the parser of arguments, or a verdict's exit code; nothing else is raised."""
    monkeypatch.chdir(place)
    done = CliRunner().invoke(app, line)
    assert done.exit_code
    assert isinstance(done.exception, BenchError | SystemExit | OSError), done.exception
