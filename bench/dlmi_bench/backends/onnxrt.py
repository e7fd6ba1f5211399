"""ONNX Runtime on the CPU: threads given, all graph optimisations, output names given.

A file with a fixed batch runs any number of examples in parts of its own size; a prepared call is of that size.
"""

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import Scores, check_batch, run_in_parts
from dlmi_bench.backends.examples import Examples, arrange, find_dtype, read_scores
from dlmi_bench.files import parsing
from dlmi_bench.instruments.onnx.contents import find_precision
from dlmi_bench.instruments.onnx.loading import parse_graph
from dlmi_bench.instruments.onnx.ports import MAPS, Port, make_signature

PROVIDER = "CPUExecutionProvider"
BFLOAT16, BFLOAT16_NUMBER = "bfloat16", 16  # its name, and its number in ONNX


# ONNX Runtime's words for types of tensors; those that numpy has by the same name are left out.
TYPES = {"float": "float32", "double": "float64"}


class OnnxRunner:
    """Session of ONNX Runtime; with several threads, they stop spinning when a call returns.

    Args:
        output: Name of the output that holds the scores, where it is not found by itself.
        batch_axis: Axis of the examples in every input, where it is not found by itself.

    Raises:
        DataError: the runtime cannot make a program of the file, or the file has no scores.
        UsageError: the file has no such output or axis.
    """

    def __init__(
        self,
        model: str | bytes,
        *,
        n_threads: int,
        output: str = "",
        batch_axis: int | None = None,
        providers: tuple[Any, ...] = (PROVIDER,),
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._n_threads = n_threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        if n_threads > 1:  # else the idle pool of each session keeps CPUs busy that another one's calls need
            options.add_session_config_entry("session.force_spinning_stop", "1")
        with parsing(
            "ONNX Runtime does not load the file",
            "export it again, whole and with operators that this version of ONNX Runtime has",
        ):
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=list(providers))
        ports = ([_read_port(p) for p in ps] for ps in (self._session.get_inputs(), self._session.get_outputs()))
        self.signature = make_signature(*ports, output=output, batch_axis=batch_axis)
        self._outputs = [self.signature.output.name]
        self._model = model
        self._version = f"onnxruntime {onnxruntime.__version__}"

    @cached_property
    def _precision(self) -> str:
        """Read when it is asked for: the parser would count as memory of the model."""
        return find_precision(parse_graph(self._model))

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        several: dict[str, str | int | float | bool] = {"force_spinning_stop": True} if self._n_threads > 1 else {}
        return several | {
            "provider": self._session.get_providers()[0],
            "precision": self._precision,
            "threads": self._n_threads,
            "graph_optimization": "all",
            "version": self._version,
            **self.signature.conditions,
        }

    def prepare(self, batch: Examples) -> Callable[[], object]:
        check_batch(batch, self.signature.batch)
        names, feed = self._outputs, arrange(batch, self.signature)
        if BFLOAT16 in (self.signature.output.type, *self.signature.types.values()):
            run_values, values = self._session.run_with_ort_values, {k: make_value(v) for k, v in feed.items()}
            return lambda: run_values(names, values)
        run = self._session.run
        return lambda: run(names, feed)

    def read(self, outputs: Any) -> Scores:
        (made,) = outputs
        return read_scores(read_value(made) if hasattr(made, "data_ptr") else made, self.signature)

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, batch: Examples) -> Scores:
        with parsing("ONNX Runtime does not run the file", "check the shape that --input names, batch first"):
            return run_in_parts(lambda part: self.read(self.prepare(part)()), batch, self.signature.batch or len(batch))


def _read_port(port: Any) -> Port:
    """Port of a session: its type is a word like tensor(float), a free size a word or None."""
    kind, _, inner = port.type.rstrip(")").partition("(")
    type_ = TYPES.get(inner, inner) if kind == "tensor" else MAPS if port.type.startswith("seq(map(") else ""
    return Port(port.name, type_, tuple(size or "" for size in port.shape))


def make_value(array: NDArray[Any], device: str = "cpu") -> Any:
    """A value of the runtime's own, which numpy's arrays of bfloat16 need."""
    from onnxruntime import OrtValue

    if array.dtype.name != BFLOAT16:
        return OrtValue.ortvalue_from_numpy(array, device, 0)
    return OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), BFLOAT16_NUMBER)


def read_value(value: Any) -> NDArray[Any]:
    """Array of a value of the runtime's own; bfloat16 is copied from its memory."""
    if value.data_type() != f"tensor({BFLOAT16})":
        array: NDArray[Any] = value.numpy()
        return array
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(content, find_dtype(BFLOAT16)).reshape(value.shape())


def load(path: Path, *, n_threads: int = 1, output: str = "", batch_axis: int | None = None) -> OnnxRunner:
    """A session on the file."""
    return OnnxRunner(str(path), n_threads=n_threads, output=output, batch_axis=batch_axis)


def load_empty(*, n_threads: int = 1) -> OnnxRunner:
    return OnnxRunner(make_empty_model(), n_threads=n_threads)


def make_empty_model() -> bytes:
    """An ONNX file of one operator that returns its input, of any four sizes."""
    from onnx import TensorProto, helper

    sizes = ["batch", "channel", "height", "width"]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "empty", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
