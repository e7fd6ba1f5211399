"""ONNX Runtime on the CPU: threads given, all graph optimisations, output names given.

A file with a fixed batch runs any number of examples in parts of its own size; a prepared call is of that size.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from dlmi_bench.backends import Batch, Scores, check_batch, run_in_parts
from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing

PROVIDER = "CPUExecutionProvider"


class OnnxRunner:
    """Session of ONNX Runtime; with several threads, they stop spinning when a call returns.

    Args:
        precision: Of the arithmetic in the file; stated, the file decides.

    Raises:
        DataError: the runtime cannot make a program of the file.
    """

    def __init__(
        self,
        model: str | bytes,
        *,
        n_threads: int,
        precision: str = "float32",
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
            port = self._session.get_inputs()[0]
            self._input = port.name
            self._size = next((size for size in port.shape[:1] if isinstance(size, int)), None)
            self._outputs = [self._session.get_outputs()[0].name]
        self._precision = precision
        self._version = f"onnxruntime {onnxruntime.__version__}"

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        several: dict[str, str | int | float | bool] = {"force_spinning_stop": True} if self._n_threads > 1 else {}
        return several | {
            "provider": self._session.get_providers()[0],
            "precision": self._precision,
            "threads": self._n_threads,
            "graph_optimization": "all",
            "version": self._version,
        }

    def prepare(self, batch: Batch) -> Callable[[], object]:
        check_batch(batch, self._size)
        run, names, feed = self._session.run, self._outputs, {self._input: batch}
        return lambda: run(names, feed)

    def read(self, outputs: Any) -> Scores:
        scores: Scores = outputs[0]
        if not isinstance(scores, np.ndarray):
            raise DataError(
                f"its first output is a {type(scores).__name__}, not a tensor", "export it with scores alone"
            )
        return scores

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, batch: Batch) -> Scores:
        with parsing("ONNX Runtime does not run the file", "check the shape that --input names, batch first"):
            return run_in_parts(lambda part: self.read(self.prepare(part)()), batch, self._size or len(batch))


def load(path: Path, *, n_threads: int = 1, precision: str = "float32") -> OnnxRunner:
    """A session on the file."""
    return OnnxRunner(str(path), n_threads=n_threads, precision=precision)


def load_empty(*, n_threads: int = 1, precision: str = "float32") -> OnnxRunner:
    return OnnxRunner(make_empty_model(), n_threads=n_threads, precision=precision)


def make_empty_model() -> bytes:
    """An ONNX file of one operator that returns its input, of any four sizes."""
    from onnx import TensorProto, helper

    sizes = ["batch", "channel", "height", "width"]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "empty", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
