"""Small ONNX files of the kinds that other people's tools write, for tests."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node

from dlmi_bench.jobs.profile import run_load_job, run_prepare_job
from dlmi_bench.jobs.profile_protocol import LoadRequest, PrepareRequest
from dlmi_bench.jobs.subject import parse_subject
from dlmi_bench.records import Figure

CLASSIC = "ai.onnx.ml"
OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid(CLASSIC, 3), helper.make_opsetid("own", 1)]
Sizes = Sequence[int | str] | None
Ports = dict[str, tuple[int, Sizes]]


def make_file(
    nodes: list[onnx.NodeProto],
    inputs: Ports,
    outputs: Ports,
    weights: dict[str, NDArray[np.generic]] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
) -> onnx.ModelProto:
    """A model of these nodes; ports are types of ONNX and sizes by name."""
    ports = [
        [helper.make_tensor_value_info(name, type_, sizes) for name, (type_, sizes) in group.items()]
        for group in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", *ports, tensors)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=10, functions=functions or [])


def draw(*shape: int, dtype: str = "float32") -> NDArray[np.generic]:
    return np.random.default_rng(1).standard_normal(shape).astype(dtype)


def make_text_model() -> onnx.ModelProto:
    """Ids and mask (batch, 8) of int64: the mean of the embeddings that the mask leaves, times a matrix."""
    nodes = [
        make_node("Gather", ["table", "ids"], ["words"]),
        make_node("Cast", ["mask"], ["floats"], to=TensorProto.FLOAT),
        make_node("Unsqueeze", ["floats", "last"], ["column"]),
        make_node("Mul", ["words", "column"], ["kept"]),
        make_node("ReduceMean", ["kept", "middle"], ["mean"], keepdims=0),
        make_node("MatMul", ["mean", "w"], ["y"]),
    ]
    sizes = ["batch", 8]
    weights = {"table": draw(5, 6), "w": draw(6, 3), "last": np.array([2]), "middle": np.array([1])}
    inputs: Ports = {"ids": (TensorProto.INT64, sizes), "mask": (TensorProto.INT64, sizes)}
    return make_file(nodes, inputs, {"y": (TensorProto.FLOAT, ["batch", 3])}, weights)


def make_layers(dtype: str = "float32", scale: float = 1.0, n: int = 3) -> onnx.ModelProto:
    """Layers of 16 units with ReLU, computed in `dtype`; the weights are those of float32, times `scale`."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes, weights, last = [], {}, "x"
    for i in range(n):
        weights[f"w{i}"] = (scale * np.random.default_rng(i).standard_normal((16, 16)) / 4).astype(dtype)
        nodes += [make_node("MatMul", [last, f"w{i}"], [f"a{i}"]), make_node("Relu", [f"a{i}"], [f"b{i}"])]
        last = f"b{i}"
    nodes.append(make_node("MatMul", [last, "out"], ["y"]))
    weights["out"] = draw(16, 4).astype(dtype)
    return make_file(nodes, {"x": (kind, ["batch", 16])}, {"y": (kind, ["batch", 4])}, weights)


def make_linear(*, has_maps: bool = False, words: bool = False) -> onnx.ModelProto:
    """A linear classifier of four features and three classes, as scikit-learn's exporter writes it: labels first."""
    names = {"classlabels_strings": ["a", "b", "c"]} if words else {"classlabels_ints": [0, 1, 2]}
    classes = [float(value) for value in np.arange(12) % 5 - 2]
    nodes = [
        make_node(
            "LinearClassifier",
            ["x"],
            ["label", "raw"],
            domain=CLASSIC,
            coefficients=classes,
            intercepts=[0.5, 0.0, -0.5],
            post_transform="SOFTMAX",
            **names,
        ),
        make_node("Normalizer", ["raw"], ["probabilities"], domain=CLASSIC, norm="L1"),
    ]
    label = (TensorProto.STRING if words else TensorProto.INT64, ["N"])
    outputs: Ports = {"label": label, "probabilities": (TensorProto.FLOAT, ["N", 3])}
    model = make_file(nodes, {"x": (TensorProto.FLOAT, ["N", 4])}, outputs)
    if has_maps:
        keys = {"classlabels_strings": ["a", "b", "c"]} if words else {"classlabels_int64s": [0, 1, 2]}
        model.graph.node.append(make_node("ZipMap", ["probabilities"], ["maps"], domain=CLASSIC, **keys))
        scores = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
        map_ = helper.make_map_type_proto(TensorProto.STRING if words else TensorProto.INT64, scores)
        model.graph.output[1].CopyFrom(helper.make_value_info("maps", helper.make_sequence_type_proto(map_)))
    return model


def make_tree() -> onnx.ModelProto:
    """One tree: class 1 where the first of two features exceeds 0.5."""
    node = make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain=CLASSIC,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        nodes_hitrates=[1.0, 1.0, 1.0],
        class_treeids=[0, 0, 0, 0],
        class_nodeids=[1, 1, 2, 2],
        class_ids=[0, 1, 0, 1],
        class_weights=[1.0, 0.0, 0.0, 1.0],
        classlabels_int64s=[0, 1],
        post_transform="NONE",
    )
    outputs: Ports = {"label": (TensorProto.INT64, ["N"]), "scores": (TensorProto.FLOAT, ["N", 2])}
    return make_file([node], {"x": (TensorProto.FLOAT, ["N", 2])}, outputs)


def make_image_model() -> onnx.ModelProto:
    """Images of uint8, (batch, height, width, channel), averaged over their pixels."""
    nodes = [
        make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        make_node("ReduceMean", ["floats", "pixels"], ["y"], keepdims=0),
    ]
    inputs: Ports = {"image": (TensorProto.UINT8, ["batch", 4, 5, 3])}
    return make_file(nodes, inputs, {"y": (TensorProto.FLOAT, ["batch", 3])}, {"pixels": np.array([1, 2])})


def make_sequence_model(batch: str = "batch") -> onnx.ModelProto:
    """Steps (7, batch, 2), summed over time: the examples lie along the second axis, those of the scores the first."""
    nodes = [make_node("ReduceSum", ["x", "time"], ["y"], keepdims=0)]
    outputs: Ports = {"y": (TensorProto.FLOAT, [batch, 2])}
    return make_file(nodes, {"x": (TensorProto.FLOAT, [7, batch, 2])}, outputs, {"time": np.array([0])})


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def save_with_data(folder: Path) -> Path:
    """The layers, their weights in m.onnx_data beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"save_as_external_data": True, "location": "m.onnx_data", "size_threshold": 0}
    onnx.save_model(make_layers(), folder / "m.onnx", **options)
    return folder / "m.onnx"


def profile_file(path: Path, folder: Path, *, inputs: str | None = None, **paths: str) -> tuple[dict[str, Figure], Any]:
    """Figures by name and conditions of ONNX Runtime, as a profile measures them; `paths` replaces files."""
    subject = parse_subject(str(path), inputs)
    prepared = run_prepare_job(
        PrepareRequest(subject=subject, folder=str(folder), n_examples=16, backends=()), lambda *_: None
    )
    files = prepared.paths | {"artifact": prepared.paths["onnx"]} | paths
    request = LoadRequest(subject=subject, backend="onnxruntime", paths=files, batches=(1,), cpu=None, is_first=True)
    cpus = os.sched_getaffinity(0)
    try:
        loaded = run_load_job(request, lambda *_: None)
    finally:
        os.sched_setaffinity(0, cpus)  # the job pins its process, which is that of other tests too
    return {figure.name: figure for figure in loaded.figures}, loaded.conditions
