"""Answers of an ONNX file in float64: by onnx's own evaluator, which shares no code with what is written in C."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.instruments.onnx.external import load_weights
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.pooling import make_max_pool
from dlmi_bench.instruments.onnx.ports import Signature
from dlmi_bench.instruments.onnx.walk import list_messages

if TYPE_CHECKING:
    from onnx import ModelProto


def compute_reference(path: Path, signature: Signature, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores (n, ...) of inputs (n, ...), in parts of the only batch size that the file takes, if it takes one.

    Raises:
        DataError: the evaluator does not run the file.
    """
    from onnx.reference import ReferenceEvaluator

    with graph_faults(path):
        evaluator: Any = ReferenceEvaluator(
            _widen(load_weights(load_graph(path, is_whole=False), path)), new_ops=[make_max_pool()]
        )
        size, wide = signature.batch or len(inputs), inputs.astype(np.float64)
        feeds = [{signature.inputs[0].name: wide[i : i + size]} for i in range(0, len(wide), size)]
        return np.concatenate([evaluator.run([signature.output.name], feed)[0] for feed in feeds])


def _widen(model: "ModelProto") -> "ModelProto":
    """The same weights, to be computed with in float64."""
    from onnx import TensorProto, numpy_helper

    wide = type(model)()
    wide.CopyFrom(model)
    for _, tensor in list_messages(wide, "TensorProto"):
        if tensor.data_type == TensorProto.FLOAT:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))
    for _, port in list_messages(wide, "Tensor"):
        if port.elem_type == TensorProto.FLOAT:
            port.elem_type = TensorProto.DOUBLE
    return wide
