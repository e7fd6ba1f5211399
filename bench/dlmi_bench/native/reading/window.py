"""Windows of convolutions and pooling: kernel, strides, dilations, padding."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlmi_bench.native.reading.builder import read_attributes, refuse

if TYPE_CHECKING:
    from onnx import NodeProto


@dataclass(frozen=True)
class Window:
    """Kernel, strides, dilations and padding before and behind, each (y, x)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    behind: tuple[int, int]

    def find_reach(self, axis: int, n_outputs: int) -> int:
        """Numbers of the padded input that `n_outputs` read along an axis."""
        return (n_outputs - 1) * self.strides[axis] + (self.kernel[axis] - 1) * self.dilations[axis] + 1


def read_window(
    node: "NodeProto", kernel: tuple[int, ...], inside: tuple[int, ...], outside: tuple[int, ...]
) -> Window:
    """Window of a node over images, its padding computed where the file only says how.

    Args:
        inside, outside: Shapes of its input and output, (channel, height, width).

    Raises:
        DataError: over other axes than two, or with negative padding.
    """
    if not len(kernel) == len(inside) - 1 == len(outside) - 1 == 2:
        raise refuse(node, "is taken over images only, (channel, height, width)")
    attributes = read_attributes(node)
    strides, dilations = (tuple(attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
    pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
    auto = attributes.get("auto_pad", "NOTSET")
    window = Window(kernel, strides, dilations, pads[:2], pads[2:])
    if auto.startswith("SAME"):
        total = [max(window.find_reach(i, outside[i + 1]) - inside[i + 1], 0) for i in (0, 1)]
        small, large = ([n // 2 for n in total], [n - n // 2 for n in total])
        pads = (*small, *large) if auto == "SAME_UPPER" else (*large, *small)
    elif auto == "VALID":
        pads = (0, 0, 0, 0)
    if min((*pads, *inside)) < 0 or min((*strides, *dilations, *kernel)) < 1:
        raise refuse(node, "is not taken with negative padding")
    return Window(kernel, strides, dilations, pads[:2], pads[2:])
