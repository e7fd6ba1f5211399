"""ONNX Runtime on the CPU: threads given, all graph optimisations, output names given."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench.backends import Batch, Scores

PROVIDER = "CPUExecutionProvider"


class OnnxRunner:
    """A session of so many threads; several of them stop to spin when a call returns.

    Args:
        precision: Of the arithmetic in the file; stated, the file decides.
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
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=list(providers))
        self._input = self._session.get_inputs()[0].name
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
        run, names, feed = self._session.run, self._outputs, {self._input: batch}
        return lambda: run(names, feed)

    def read(self, outputs: Any) -> Scores:
        scores: Scores = outputs[0]
        return scores

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, batch: Batch) -> Scores:
        return self.read(self.prepare(batch)())


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
