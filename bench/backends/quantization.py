"""From an ONNX file in float32 to one in 8-bit integers: static, quantised and dequantised in place (QDQ), per channel.

Ranges of the activations come from training images alone. Source: the quantisation guide of ONNX Runtime.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.backends import Batch

N_CALIBRATION = 512
CALIBRATION_BATCH = 64


def write_int8(model: Path, train_images: Batch, path: Path) -> None:
    """Quantise `model` on training images, evenly spaced among those given; equal inputs give equal bytes."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iterate_calibration(train_images)

        def get_next(self) -> dict[str, Batch] | None:  # type: ignore[override]  # None is how it ends
            return next(self._batches, None)

    # Both steps talk to stdout and warn about what a first one leaves to a second; their errors still raise.
    quiet = contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore")
    with TemporaryDirectory() as folder, quiet[0], quiet[1]:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(str(model), str(prepared))
        quantize_static(
            str(prepared),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def iterate_calibration(train_images: Batch) -> Iterator[dict[str, Batch]]:
    """Batches of the images that set the ranges."""
    n = min(N_CALIBRATION, len(train_images))
    chosen = train_images[np.linspace(0, len(train_images) - 1, n).astype(np.intp)]
    for i in range(0, n, CALIBRATION_BATCH):
        yield {"input": chosen[i : i + CALIBRATION_BATCH]}
