"""From network to artifact to runtime and back."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.backends import BACKENDS, predict
from bench.backends.export import write_onnx, write_torch
from bench.errors import DataError, MeasurementError
from bench.profiling import check_outputs
from models import MODELS

INPUT = (1, 16, 16)


def export(name: str, folder: Path) -> dict[str, Path]:
    torch.manual_seed(0)
    network = MODELS[name].build().train()
    for _ in range(3):  # gives the normalisation statistics that are not 0 and 1
        network(torch.randn(8, *INPUT))
    paths = {"torch": folder / "a.safetensors", "onnx": folder / "a.onnx"}
    write_torch(network, name, paths["torch"])
    write_onnx(network, INPUT, paths["onnx"])
    return paths


@pytest.mark.parametrize("name", ["mlp-64-32", "lecun-1989", "cnn-4"])
def test_backends_agree(name: str, tmp_path: Path) -> None:
    """Both runtimes give the same scores within 1e-5 at batch sizes 1, 2 and 7, and they are not all alike."""
    paths = export(name, tmp_path)
    runners = [entry.load(paths[entry.artifact_role]) for entry in BACKENDS.values()]
    images = np.random.default_rng(0).standard_normal((7, *INPUT)).astype(np.float32)
    reference = runners[0].run(images)
    assert np.ptp(reference, axis=0).min() > 1e-3
    for runner in runners:
        for batch in (1, 2, 7):
            assert np.allclose(predict(runner, images, batch), reference, atol=1e-5)
        with runner.active():
            check_outputs(runner.prepare(images)(), reference, name)
        assert runner.conditions["threads"] == 1
        assert runner.conditions["precision"] == "float32"


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_are_those_asked_for(backend: str, tmp_path: Path) -> None:
    """Two threads are stated as two, and one is the default."""
    entry = BACKENDS[backend]
    path = export("softmax", tmp_path)[entry.artifact_role]
    assert entry.load(path, n_threads=2).conditions["threads"] == 2
    assert entry.load_empty(n_threads=2).conditions["threads"] == 2
    assert entry.load(path).conditions["threads"] == 1


def test_equal_networks_have_equal_files(tmp_path: Path) -> None:
    """Exporting twice gives the same bytes, which hold no path of this machine."""
    paths = export("cnn-4", tmp_path)
    first = {role: path.read_bytes() for role, path in paths.items()}
    second = {role: path.read_bytes() for role, path in export("cnn-4", tmp_path).items()}
    assert first == second
    assert str(Path(__file__).parent.parent).encode() not in first["onnx"]


def test_layout_in_memory_leaves_no_mark(tmp_path: Path) -> None:
    """A network trained with channels last exports to the same bytes as its contiguous twin."""
    torch.manual_seed(0)
    network = MODELS["cnn-4"].build()
    write_onnx(network, INPUT, tmp_path / "a.onnx")
    write_onnx(network.to(memory_format=torch.channels_last), INPUT, tmp_path / "b.onnx")  # type: ignore[call-overload]
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    """A file that names one model and holds another's weights is an error, and so is one that names none."""
    path = tmp_path / "a.safetensors"
    write_torch(MODELS["mlp-24-16"].build(), "mlp-64-32", path)
    with pytest.raises(DataError, match="do not fit mlp-64-32"):
        BACKENDS["eager"].load(path)
    write_torch(MODELS["softmax"].build(), "no-such-model", path)
    with pytest.raises(DataError, match="no-such-model"):
        BACKENDS["eager"].load(path)


def test_empty_program_returns_its_input() -> None:
    """The floor of each runtime is a real call that computes nothing."""
    images = np.ones((2, *INPUT), np.float32)
    for entry in BACKENDS.values():
        assert np.array_equal(entry.load_empty().run(images), images)


@pytest.mark.parametrize("offset", [1e-2, float("nan")])
def test_outputs_of_another_program_are_found(offset: float) -> None:
    """Outputs off by 1e-2, or not a number, void the timing."""
    expected = np.ones((2, 3), np.float32)
    check_outputs([expected + np.float32(1e-6)], expected, "x")
    with pytest.raises(MeasurementError, match="differ"):
        check_outputs([expected + np.float32(offset)], expected, "x")


def test_safetensors_header_is_plain_json(tmp_path: Path) -> None:
    """Weights are data: the file is a JSON header and numbers."""
    path = tmp_path / "a.safetensors"
    write_torch(MODELS["softmax"].build(), "softmax", path)
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    assert content[8 : 8 + size].startswith(b'{"__metadata__":{"model":"softmax"}')
