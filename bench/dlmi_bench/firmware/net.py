"""Records of a net on its way from ONNX to a microcontroller: a chain of layers, in floats and then in integers.

Every layer is a convolution with what follows it, a rectifier and pooling. A dense layer is one whose kernel is its
whole input, which is then a single row. Maps are (channel, height, width) of one example.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Values = NDArray[np.float64]
Integers = NDArray[np.int64]

SLOPE_BITS = 7  # slopes of rectifiers are whole numbers of 1/128


@dataclass(frozen=True)
class Layer:
    """A layer in floats.

    Attributes:
        name: Operator and its weights, for messages.
        weights: (out, in, y, x); `in` is 1 where every channel has a kernel of its own.
        bias: (out,).
        input_shape: Of its input.
        shape: Of the convolution's output, as far as pooling reads it.
        has_own_maps: Whether each output channel reads input channels of its own, and not all.
        pad: Zeros above and left of the input; those below and behind follow from the shapes.
        pool: Side of the pooling windows; 1 for none.
        slope: Factor of negative sums, 0 to 1: 0 for ReLU, 1 for no rectifier.
    """

    name: str
    weights: Values
    bias: Values
    input_shape: Shape
    shape: Shape
    has_own_maps: bool = False
    pad: int = 0
    stride: int = 1
    pool: int = 1
    slope: float = 1.0

    @property
    def output_shape(self) -> Shape:
        return self.shape[0], self.shape[1] // self.pool, self.shape[2] // self.pool

    @property
    def macs(self) -> int:
        return self.weights.size * self.shape[1] * self.shape[2]


@dataclass(frozen=True)
class IntegerLayer:
    """A layer in integers.

    A sum of products and bias is multiplied by its channel's multiplier, and by slope / 128 where it is negative; then
    it is shifted to the right, rounding down, and held within 8 bits. Pooling keeps the largest.

    Attributes:
        layer: The layer in floats.
        weights: (out, in, y, x), of `bits` bits.
        bias: (out,); half of what the shift cuts off is in it, so that the shift rounds to the nearest.
        bias_shift: Zeros at the end of each bias, before which stand 8 bits.
        multipliers: (out,), 1 to 255; all 1 where scales are powers of two.
        slope: Numerator over 128.
        reach: Smallest and largest sum that any input can lead to, with multiplier and slope.
    """

    layer: Layer
    weights: Integers
    bias: Integers
    bias_shift: int
    multipliers: Integers
    slope: int
    shift: int
    reach: tuple[int, int]


@dataclass(frozen=True)
class IntegerNet:
    """A net in integers.

    Attributes:
        exponent: An input x becomes round(x * 2 ** exponent), held within 8 bits.
        bits: Of a weight, 8 or 4.
    """

    layers: tuple[IntegerLayer, ...]
    input_shape: Shape
    exponent: int
    bits: int

    @property
    def n_inputs(self) -> int:
        return prod(self.input_shape)

    @property
    def n_classes(self) -> int:
        return self.layers[-1].layer.shape[0]

    @property
    def n_weights(self) -> int:
        return sum(layer.weights.size for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.layer.macs for layer in self.layers)

    def encode(self, images: NDArray[Any]) -> NDArray[np.int8]:
        """Images (n, ...) as the image takes them, (n, inputs)."""
        scaled = np.rint(images.reshape(len(images), -1).astype(np.float64) * 2.0**self.exponent)
        return scaled.clip(-128, 127).astype(np.int8)
