"""The gate's live self-test: which sessions of its file it counts, and what it says of them."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from dlmi_bench.closure import hash_code
from dlmi_bench.gating.sides.baseline import MANIFEST, file_path, load_baseline
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_versions
from dlmi_bench.selftest import gate as selftest
from dlmi_bench.selftest.gate import CODE

ROOT = Path(__file__).parent.parent
BASELINE = ROOT / "baseline"
pytestmark = pytest.mark.skipif(not BASELINE.is_dir(), reason="not a checkout")
PASS: dict[str, Any] = {"decision": {"verdict": "PASS"}, "preempted": [0.0], "rivals": {"median +5 %": False}}


def run_selftest(monkeypatch: pytest.MonkeyPatch, to: Path, *arguments: str) -> int:
    """Two sessions wanted; how many of them were run."""
    run: list[str] = []

    def pass_at_once(_: Path, name: str, extra_calls: float) -> dict[str, Any]:
        run.append(name)
        return {"extra_calls": extra_calls, **PASS}

    monkeypatch.setattr(selftest, "run_session", pass_at_once)
    where = ["--baseline", str(BASELINE), "--to", str(to), "--sessions", "2"]
    monkeypatch.setattr(sys, "argv", ["selftest", *where, *arguments])
    selftest.main()
    return len(run)


def test_sessions_are_resumed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the file is not run again; another truth is, and has rows of its own in the same table."""
    to = tmp_path / "new" / "sessions.jsonl"
    asked: list[tuple[str, ...]] = [(), (), ("--extra-calls", "0.1"), ("--sessions", "3")]
    assert [run_selftest(monkeypatch, to, *more) for more in asked] == [2, 0, 2, 1]
    table = capsys.readouterr().out.splitlines()[-4:]
    assert [row.split(" | ")[-1] for row in table] == ["3 |", "3 |", "2 |", "2 |"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hash_code", "0" * 64),
        ("compute_machine_id", "another"),
        ("describe_versions", {"python": "3.0"}),
    ],
)
def test_sessions_of_another_code_machine_or_version_do_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: object
) -> None:
    """They are run again, and the table holds the new ones alone; the old ones stay in the file and count again."""
    to = tmp_path / "sessions.jsonl"
    assert run_selftest(monkeypatch, to) == 2
    with monkeypatch.context() as patch:
        patch.setattr(selftest, name, lambda *_: value)
        assert run_selftest(patch, to) == 2
    assert "| 2 |" in capsys.readouterr().out.splitlines()[-1]
    assert len(to.read_text().splitlines()) == 4
    assert run_selftest(monkeypatch, to) == 0


def test_sessions_of_another_model_or_file_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor does a line that does not say what was judged; a baseline saved again has the same names and other files."""
    to = tmp_path / "sessions.jsonl"
    to.write_text(2 * f"{json.dumps({'extra_calls': 0.0, 'n_hogs': 0, **PASS})}\n")
    anew = save_other_weights(tmp_path / "baseline")
    asked = [(), ("--model", "usps/mlp-24-16"), ("--baseline", str(anew))]
    assert [run_selftest(monkeypatch, to, *more) for more in asked] == [2, 2, 2]


def save_other_weights(folder: Path) -> Path:
    """The baseline with another file for the model that is judged."""
    shutil.copytree(BASELINE, folder)
    entry = next(e for e in load_baseline(folder).entries if e.name == "usps/mlp-64-32")
    old = file_path(folder, entry.artifact("onnx"))
    old.write_bytes(old.read_bytes()[::-1])
    sha256 = hashlib.sha256(old.read_bytes()).hexdigest()
    old.rename(old.with_stem(sha256))
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text().replace(old.stem, sha256))
    return folder


def test_subject_stands_above_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model, file, machine, code and versions: whoever copies the table can say of what it is."""
    run_selftest(monkeypatch, tmp_path / "sessions.jsonl")
    subject = selftest.describe_subject(BASELINE, "usps/mlp-64-32")
    first, second, *_ = capsys.readouterr().out.splitlines()
    sha256, code = subject["sha256"][:12], hash_code(CODE)[:12]
    assert first == f"usps/mlp-64-32, file {sha256}, machine {compute_machine_id()}, code {code}"
    assert f"onnxruntime {describe_versions()['onnxruntime']}" in second


def test_page_has_the_table_that_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below it stand what was judged and every row, exactly as on the terminal."""
    page = tmp_path / "new" / "page.md"
    run_selftest(monkeypatch, tmp_path / "sessions.jsonl", "--markdown", str(page))
    subject, table = capsys.readouterr().out.split("\n\n")
    assert page.read_text().startswith("# Self-test of the gate: last run\n\n")
    assert page.read_text().endswith(f"Sessions of {subject}\n\n{table}")


def test_code_is_that_of_the_whole_gate_and_of_its_clock() -> None:
    """Modules that a session runs are covered, those that the gate gains too."""
    root = ROOT / "bench"
    files = (root / "dlmi_bench" / "gating").rglob("[!_]*.py")
    modules = {".".join(path.relative_to(root).with_suffix("").parts) for path in files}
    assert modules | {
        "dlmi_bench.instruments.latency",
        "dlmi_bench.instruments.clock",
        "dlmi_bench.stats.intervals",
    } <= set(CODE)
