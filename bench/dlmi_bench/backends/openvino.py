"""OpenVINO on the CPU: precision and threads given, one program of static shape for each batch size.

A file with a fixed batch is run in parts of its own size: its operators may hold that size as a constant.

Without a precision hint it computes in bfloat16 wherever the processor can.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from dlmi_bench.backends import Scores, check_batch, run_in_parts
from dlmi_bench.backends.examples import Examples, arrange, read_scores
from dlmi_bench.backends.onnxrt import make_empty_model
from dlmi_bench.files import parsing
from dlmi_bench.instruments.onnx.contents import PRECISIONS, find_precision
from dlmi_bench.instruments.onnx.loading import parse_graph
from dlmi_bench.instruments.onnx.ports import Port, make_signature, read_signature

# Importing it would send a message over the network from a forked process, which hangs where threads run. Without the
# package that does so it falls back to a stub of its own.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
# An extra: its types are looked at nowhere, so that checks agree with and without it.
openvino: Any = import_module("openvino")

# OpenVINO's words for types; those that numpy has by the same name are left out.
TYPES = {"f16": "float16", "f32": "float32", "f64": "float64", "bf16": "bfloat16", "boolean": "bool"}
TYPES |= {f"{sign}{bits}": f"{name}{bits}" for sign, name in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)}
HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoRunner:
    """An ONNX file, compiled for each shape it is called with.

    Args:
        precision: Of the arithmetic, where the file's is not coarser.
        choices: See `OnnxRunner`.
    """

    def __init__(self, model: str | bytes, *, n_threads: int, precision: str, **choices: Any) -> None:
        self._core = openvino.Core()
        self._model = model
        self._n_threads = n_threads
        self._hint = precision
        self._programs: dict[tuple[object, ...], Any] = {}
        with parsing("OpenVINO does not load the file", "export it again, with operators that OpenVINO has"):
            read = self._core.read_model(model)
        ports = [[_read_port(port, choices.get("output", "")) for port in ps] for ps in (read.inputs, read.outputs)]
        if any(isinstance(size, str) for port in (*ports[0], *ports[1]) for size in port.sizes[1:]):
            self.signature = read_signature(parse_graph(model), **choices)  # which of them is the batch, names tell
        else:
            self.signature = make_signature(*ports, **choices)

    @cached_property
    def _precision(self) -> str:
        return min(find_precision(parse_graph(self._model)), self._hint, key=PRECISIONS.index)

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        return {
            "provider": "CPU",
            "precision": self._precision,
            "threads": self._n_threads,
            "performance_hint": "LATENCY",
            "shapes": "static",
            "pins_caller": True,  # to the CPU of its first call; without that a call of 6 us takes 7 to 8
            "version": f"openvino {openvino.__version__.partition('-')[0]}",
            **self.signature.conditions,
        }

    def _compile(self, shapes: dict[str, tuple[int, ...]]) -> Any:
        key = tuple(shapes.items())
        if key not in self._programs:
            model = self._core.read_model(self._model)
            model.reshape({name: list(shape) for name, shape in shapes.items()})
            options = {
                "INFERENCE_PRECISION_HINT": HINTS[self._hint],
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": self._n_threads,
            }
            self._programs[key] = self._core.compile_model(model, "CPU", options)
        return self._programs[key]

    def prepare(self, batch: Examples) -> Callable[[], object]:
        check_batch(batch, self.signature.batch)
        feed = arrange(batch, self.signature)  # memory that is shared has no gaps
        request = self._compile({name: array.shape for name, array in feed.items()}).create_infer_request()
        for name, array in feed.items():
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        output = request.get_tensor(self.signature.output.name)
        infer = request.infer

        def call(_inputs: object = feed) -> object:  # keeps the inputs alive, which the request does not
            infer()
            return output

        return call

    def read(self, outputs: Any) -> Scores:
        return read_scores(outputs.data.copy(), self.signature)

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, batch: Examples) -> Scores:
        with parsing("OpenVINO does not run the file", "check the shape that --input names, batch first"):
            return run_in_parts(lambda part: self.read(self.prepare(part)()), batch, self.signature.batch or len(batch))


def _read_port(port: Any, output: str) -> Port:
    """Port of a model, which may have several names; a size that the file leaves free has none here."""
    shape, type_ = port.get_partial_shape(), port.get_element_type().to_string()
    sizes = () if shape.rank.is_dynamic else tuple(n.get_length() if n.is_static else "" for n in shape)
    return Port(output if output in port.names else port.get_any_name(), TYPES.get(type_, type_), sizes)


def load(path: Path, *, n_threads: int = 1, precision: str = "float32", **choices: Any) -> OpenVinoRunner:
    return OpenVinoRunner(str(path), n_threads=n_threads, precision=precision, **choices)


def load_empty(*, n_threads: int = 1, precision: str = "float32") -> OpenVinoRunner:
    return OpenVinoRunner(make_empty_model(), n_threads=n_threads, precision=precision)
