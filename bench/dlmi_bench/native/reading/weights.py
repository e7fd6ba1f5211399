"""Weights as constants: float32, or whole numbers of few bits with a scale for each output, which the net unpacks.

Whole numbers are taken only where they times their scales are the very numbers of the file, and take fewer bytes.
"""

from dataclasses import dataclass

import numpy as np

from dlmi_bench.instruments.packing.grids import find_grid
from dlmi_bench.native.net import Array, Tensor, Values
from dlmi_bench.native.reading.builder import Builder

BLOCK = 4  # output channels of a convolution that share what they read
WORD = 32  # bits
BYTE = 8
WIDTHS = (2, 3, 4, BYTE)  # bits of a whole number


@dataclass(frozen=True)
class Weights:
    """Sums for each output over what is read, (out, tap) in float64.

    Attributes:
        source: Name in the ONNX file.
        n_groups: Groups of outputs, in blocks of BLOCK (tap, out); 0 for one matrix (tap, out) of all.
        n_wide: Numbers of a row of that one matrix, zeros at its end.
    """

    source: str
    values: Values
    n_groups: int = 0
    n_wide: int = 0

    def store(self, builder: Builder) -> Array | Tensor:
        """Constants as the kernels read them, or a buffer into which each call unpacks them."""
        n_out, n_taps = self.values.shape
        how = f"rows of {self.n_wide}" if self.n_wide else f"{BLOCK} output channels beside each other"
        size = f"({n_taps}, {n_out})" if self.n_wide else f"({n_out}, {n_taps})"
        comment = f"{size}, {how}"
        numbers = self.values.astype(np.float32)
        grid = find_grid(numbers + np.float32(0)) if builder.is_packed else None  # -0.0 is 0 here
        if grid is None:
            return builder.make_array(self.source, "weight", self._arrange(numbers, self.n_wide), comment)
        steps = self._arrange(grid.steps, n_out)
        n_bits = next(bits for bits in WIDTHS if np.abs(steps).max() < 1 << (bits - 1))
        words = pack(steps, n_bits)
        if words.nbytes + 4 * n_out >= 4 * numbers.size:
            return builder.make_array(self.source, "weight", self._arrange(numbers, self.n_wide), comment)
        held = builder.make_array(self.source, "weight", words, f"{size}, whole numbers of {n_bits} bits")
        scales = builder.make_array(self.source, "scales", grid.scales.astype(np.float32), f"({n_out})")
        return self._unpack(builder, held, scales, n_bits)

    def _unpack(self, builder: Builder, held: Array, scales: Array, n_bits: int) -> Tensor:
        n_out, n_taps = self.values.shape
        numbers: Array | Tensor = held
        if n_bits < BYTE:
            n_bytes = held.values.size * (WORD // n_bits)
            steps = builder.make_buffer("steps", (-(-n_bytes // 4),))
            arguments = (held, steps, held.values.size, n_bits)
            numbers = builder.call("unpack", *arguments, writes=steps, comment=f"{n_out * n_taps} of {n_bits} bits")
        w = builder.make_buffer("weights", (n_taps * max(n_out, self.n_wide),))
        kernel, sizes = "scale_columns", (n_taps, n_out, self.n_wide)
        if self.n_groups:
            kernel, sizes = "scale_blocks", (self.n_groups, n_out // self.n_groups, n_taps)
        return builder.call(kernel, numbers, scales, w, *sizes, writes=w, comment=f"weights ({n_out}, {n_taps})")

    def _arrange(self, values: Values, n_wide: int) -> Values:
        """Values (out, tap) in the order in which kernels read them, in one row."""
        if not self.n_groups:
            return np.pad(values.T, ((0, 0), (0, n_wide - len(values)))).reshape(-1)
        groups = values.reshape(self.n_groups, -1, values.shape[1])
        return np.concatenate([g[i : i + BLOCK].T.reshape(-1) for g in groups for i in range(0, len(g), BLOCK)])


def pack(steps: Values, n_bits: int) -> Values:
    """Whole numbers as they are where they have 8 bits, else in words: number f * n_words + i is field f of word i."""
    if n_bits == BYTE:
        return steps.astype(np.int8)
    n_fields = WORD // n_bits
    fields = steps.astype(np.int64) + (1 << (n_bits - 1)) - 1
    rows = np.pad(fields, (0, -len(fields) % n_fields)).reshape(n_fields, -1)
    return (rows << (n_bits * np.arange(n_fields)[:, None])).sum(0).astype(np.uint32)
