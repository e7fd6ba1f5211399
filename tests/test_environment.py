"""What a measurement was taken on."""

from pathlib import Path

import pytest

from bench import environment
from bench.environment import compute_machine_id, describe_environment, read_pressure


def test_description_is_complete() -> None:
    """Machine, versions, commit and date are there; the fingerprint does not change between calls."""
    described = describe_environment()
    assert described["machine"]["n_cpus"] >= 1  # type: ignore[index,call-overload,operator]
    assert {"python", "torch", "onnxruntime", "codecarbon"} <= set(described["versions"])  # type: ignore[arg-type]
    assert described["machine_id"] == compute_machine_id()


def test_pressure_is_a_share_or_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """12.50 % of the last ten seconds reads 0.125; a kernel without the file reads None, not 0."""
    path = tmp_path / "cpu"
    path.write_text("some avg10=12.50 avg60=1.00 avg300=0.00 total=1\n")
    monkeypatch.setattr(environment, "PRESSURE", path)
    assert read_pressure() == 0.125
    monkeypatch.setattr(environment, "PRESSURE", tmp_path / "missing")
    assert read_pressure() is None
