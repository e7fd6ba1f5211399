"""The two ways of a sum over taps: all positions of an image at once, or all channels of one position."""

from dataclasses import dataclass

import numpy as np

from dlmi_bench.native.net import Argument, Array, Shape, Tensor, Values
from dlmi_bench.native.reading.builder import Builder
from dlmi_bench.native.reading.weights import BLOCK, Weights

WIDTH = 16  # numbers of the widest vector


@dataclass(frozen=True)
class TapSum:
    """A convolution whose input is laid out.

    Attributes:
        source: Name of its weights in the ONNX file.
        taps: Offset of each tap in a channel.
        weights: (out, channel and tap), float64.
        shape: Of its output.
    """

    source: str
    laid: Tensor
    taps: Array
    weights: Values
    bias: Values
    shape: Shape
    n_groups: int

    @property
    def has_few_positions(self) -> bool:
        """Estimate which way takes fewer cycles at a tap.

        Two vectors of positions for four channels take 4 cycles, and one no less, since its sums wait for each other.
        At one position, a vector of channels takes about 0.7 cycles, and reading what the tap reads 1.5.
        """
        n_out, height, width = self.shape
        planes = -(-n_out // BLOCK) * 4 * -(-self.n_positions // (2 * WIDTH))
        points = height * width * (0.7 * -(-n_out // WIDTH) + 1.5)
        return self.n_groups == 1 and points < planes

    @property
    def n_positions(self) -> int:
        """Positions from the first to the last, those between rows included."""
        return (self.shape[1] - 1) * self.laid.row_stride + self.shape[2]

    @property
    def _reads(self) -> tuple[int, int, int]:
        """Channels that an output reads, numbers from one to the next, taps of each."""
        return self.laid.shape[0] // self.n_groups, self.laid.plane_stride, self.taps.values.size

    def add(self, builder: Builder, comment: str) -> Tensor:
        """Call the faster of the two."""
        n_out, n_taps = self.weights.shape
        y, arguments = (self._make_points if self.has_few_positions else self._make_planes)(builder)
        kernel = "conv_points" if self.has_few_positions else "conv"
        comment += f", rows of {y.row}" if y.row else ""
        macs = n_out * self.shape[1] * self.shape[2] * n_taps
        return builder.call(kernel, self.laid, self.taps, *arguments, writes=y, comment=comment, macs=macs)

    def _make_planes(self, builder: Builder) -> tuple[Tensor, tuple[Argument, ...]]:
        n_out = len(self.weights)
        w = Weights(self.source, self.weights, n_groups=self.n_groups).store(builder)
        b = builder.make_array(self.source, "bias", self.bias, f"({n_out})")
        plane = -(-self.n_positions // WIDTH) * WIDTH  # no vector may reach the next plane
        y = builder.make_buffer("conv", self.shape, n_out * plane, row=self.laid.row_stride, plane=plane)
        return y, (w, b, y, self.n_groups, n_out // self.n_groups, *self._reads, self.n_positions, plane)

    def _make_points(self, builder: Builder) -> tuple[Tensor, tuple[Argument, ...]]:
        n_out, n_taps = self.weights.shape
        n_wide = -(-n_out // WIDTH) * WIDTH
        w = Weights(self.source, self.weights, n_wide=n_wide).store(builder)
        filled = np.pad(self.bias, (0, n_wide - n_out))
        b = builder.make_array(self.source, "bias", filled, f"({n_out}), filled up to {n_wide}")
        row = builder.make_buffer("taps", (n_taps + n_wide,))
        y = builder.make_buffer("conv", self.shape)
        return y, (w, b, y, row, n_out, n_wide, *self._reads, *self.shape[1:], self.laid.row_stride)
