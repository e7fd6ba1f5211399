"""ONNX Runtime on the CPU: threads given, all graph optimisations, output names given."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench.backends import Batch, Scores

PROVIDER = "CPUExecutionProvider"


class OnnxRunner:
    """A session of so many threads."""

    def __init__(self, model: str | bytes, *, n_threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._n_threads = n_threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=[PROVIDER])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [self._session.get_outputs()[0].name]

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        (provider,) = self._session.get_providers()
        return {"provider": provider, "precision": "float32", "threads": self._n_threads, "graph_optimization": "all"}

    def prepare(self, batch: Batch) -> Callable[[], object]:
        run, names, feed = self._session.run, self._outputs, {self._input: batch}
        return lambda: run(names, feed)

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, batch: Batch) -> Scores:
        scores: Scores = self._session.run(self._outputs, {self._input: batch})[0]
        return scores


def load(path: Path, *, n_threads: int = 1) -> OnnxRunner:
    """A session on the file."""
    return OnnxRunner(str(path), n_threads=n_threads)


def load_empty(*, n_threads: int = 1) -> OnnxRunner:
    from onnx import TensorProto, helper

    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "empty", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return OnnxRunner(model.SerializeToString(), n_threads=n_threads)
