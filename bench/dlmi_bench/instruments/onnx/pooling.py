"""MaxPool for onnx's own evaluator, which up to 1.23 mixes up height and width.

It does so where paddings differ or sizes are rounded up, and answers with wrong numbers and no error.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def make_max_pool() -> Any:
    """Make the operator that takes the place of the evaluator's."""
    from onnx.reference.op_run import OpRun

    class MaxPool(OpRun):
        op_domain = ""

        def _run(self, x: NDArray[Any], kernel_shape: Any = None, **attributes: Any) -> tuple[NDArray[Any]]:
            if len(self.onnx_node.output) > 1:
                raise NotImplementedError("MaxPool with places of the largest numbers")
            for axis, k in enumerate(kernel_shape):
                options = {
                    name: (attributes.get(name) or [1] * len(kernel_shape))[axis] for name in ("strides", "dilations")
                }
                pads = attributes.get("pads") or [0] * 2 * len(kernel_shape)
                padding = (pads[axis], pads[axis + len(kernel_shape)])
                auto, is_ceil = attributes.get("auto_pad") or "NOTSET", bool(attributes.get("ceil_mode"))
                x = _find_largest(x, axis + 2, k, padding, auto=auto, is_ceil=is_ceil, **options)
            return (x,)

    return MaxPool


def _find_largest(
    x: NDArray[Any],
    axis: int,
    k: int,
    padding: tuple[int, int],
    *,
    strides: int,
    dilations: int,
    auto: str,
    is_ceil: bool,
) -> NDArray[Any]:
    """The largest of each window along one axis; that of a window in the plane is found axis by axis."""
    n, reach = x.shape[axis], (k - 1) * dilations + 1
    if auto.startswith("SAME"):
        total = max((-(-n // strides) - 1) * strides + reach - n, 0)
        padding = (total // 2, total - total // 2) if auto == "SAME_UPPER" else (total - total // 2, total // 2)
    room = n + sum(padding) - reach
    count = (-(-room // strides) if is_ceil else room // strides) + 1
    count -= (count - 1) * strides >= n + padding[0]  # no window begins behind the numbers
    behind = max(padding[1], (count - 1) * strides + reach - n - padding[0])
    widths = [(padding[0], behind) if i == axis else (0, 0) for i in range(x.ndim)]
    least = np.iinfo(x.dtype).min if np.issubdtype(x.dtype, np.integer) else -np.inf
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, widths, constant_values=least), reach, axis)
    starts = [slice(0, count * strides, strides) if i == axis else slice(None) for i in range(x.ndim)]
    largest: NDArray[Any] = windows[*starts, ::dilations].max(-1)
    return largest
