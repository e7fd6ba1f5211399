"""Quantisation of an ONNX file to 8-bit integers: static, quantised and dequantised in place (QDQ), per channel.

Ranges of the activations come from training images alone. Source: the quantisation guide of ONNX Runtime.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends.examples import Examples, arrange
from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx.contents import find_opset, find_precision
from dlmi_bench.instruments.onnx.external import load_weights
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import Signature, read_signature

N_CALIBRATION = 512
CALIBRATION_BATCH = 64
MIN_OPSET = 13  # from which on DequantizeLinear has an axis


def write_int8(model: Path, train_images: Examples, path: Path, **choices: Any) -> None:
    """Quantise `model` on training images, evenly spaced among those given; equal inputs give equal bytes.

    Args:
        choices: See `read_signature`.

    Raises:
        DataError: the file is of an operator set that has no scales by channel, or of another precision than float32.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    graph = load_graph(model, is_whole=False)
    if (opset := find_opset(graph)) < MIN_OPSET:
        raise DataError(f"8-bit weights need operator set {MIN_OPSET}, not {opset}", "export it with a newer one")
    if (precision := find_precision(graph)) != "float32":
        raise DataError(f"8-bit integers are made from float32; the file is of {precision}", "give the file in float32")
    feeds = iterate_calibration(read_signature(graph, **choices), train_images)

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, NDArray[Any]] | None:  # type: ignore[override]  # None is how it ends
            return next(feeds, None)

    # Both steps talk to stdout and warn about what a first one leaves to a second; their errors still raise.
    quiet = contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore")
    path, content = path.resolve(), load_weights(graph, model).SerializeToString()
    # A step that fails leaves a file in the working folder.
    with TemporaryDirectory() as folder, contextlib.chdir(folder), quiet[0], quiet[1]:
        whole, prepared = Path(folder, "whole.onnx"), Path(folder, "prepared.onnx")
        whole.write_bytes(content)
        # Symbolic shapes would need sympy; on the course's nets they change no score.
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def iterate_calibration(signature: Signature, train_images: Examples) -> Iterator[dict[str, NDArray[Any]]]:
    """The images that set the ranges, in batches that the file takes, by the name of its input.

    A file with a fixed batch gets whole ones; some images come twice where there are fewer.
    """
    fixed = signature.batch
    n, size = min(N_CALIBRATION, len(train_images)), fixed or CALIBRATION_BATCH
    if fixed:
        n = max(n - n % fixed, fixed)
    chosen = train_images[np.linspace(0, len(train_images) - 1, n).astype(np.intp)]
    for i in range(0, n, size):
        yield arrange(chosen[i : i + size], signature)
