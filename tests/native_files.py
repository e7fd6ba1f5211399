"""ONNX files of one operator, or of a few, for the tests of nets in C."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dlmi_bench.native import compiler
from dlmi_bench.native.library import load_library, run_net
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.reference import compute_reference

TOLERANCE = 1e-5  # of the largest answer

Node = tuple[str, list[str], list[str], dict[str, Any]]


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found compiled that another run left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles in half the time; what is tested is the text."""
    monkeypatch.setattr(compiler, "FLAGS", ("-std=c99", "-O1", "-march=native", "-ffp-contract=fast"))


def write_file(
    path: Path,
    nodes: Sequence[Node],
    weights: dict[str, Any] | None = None,
    *,
    shape: tuple[int, ...] = (3, 9, 7),
    batch: int | str = "batch",
    opset: int = 20,
) -> Path:
    """A file that takes `x` and answers with `y`; lists of weights are whole numbers, integers keep their type."""
    held = {k: _make_constant(v) for k, v in (weights or {}).items()}
    made = [helper.make_node(kind, reads, makes, **attributes) for kind, reads, makes, attributes in nodes]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(np.asarray(v), name) for name, v in held.items()]
    graph = helper.make_graph(made, "g", ports, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    kind = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type
    sizes = [dim.dim_value or dim.dim_param or None for dim in kind.shape.dim]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes or ["batch"]))
    onnx.save(model, path)
    return path


def _make_constant(value: Any) -> Any:
    if isinstance(value, list):
        return np.array(value, np.int64)
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "iu" else np.float32(value)


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check_parity(path: Path, n: int = 3) -> None:
    """The compiled net answers as float64 does, all examples of a batch, and each alone."""
    net, signature = read_net(path)
    library, inputs = load_library(net), draw(n, *net.input_shape)
    wanted, found = compute_reference(path, signature, inputs), run_net(library, net, inputs)
    assert found.shape == wanted.shape
    assert np.ptp(wanted) > 1e-3
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()
    assert np.array_equal(run_net(library, net, inputs[1:2]), found[1:2])
