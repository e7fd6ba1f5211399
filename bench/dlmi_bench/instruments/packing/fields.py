"""Whole numbers in fields of fixed width, and five ternary digits in a byte."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Fields = NDArray[np.unsignedinteger[Any]]
TERNARY = 0  # in place of a width in bits: digits 0, 1 and 2, five in a byte, 1.6 bits each
DIGITS = 5  # 3**5 = 243 fits into a byte
POWERS = 3 ** np.arange(DIGITS)
BYTE = 8


def count_bytes(n: int, width: int) -> int:
    """Count the bytes of `n` fields of `width` bits, or of `n` ternary digits."""
    return -(-n // DIGITS) if width == TERNARY else -(-n * width // BYTE)


def pack_fields(fields: Fields, width: int) -> bytes:
    """Pack fields of `width` bits each, or ternary digits; whole bytes as they are, lowest first."""
    if width == TERNARY:
        filled = np.zeros(-(-fields.size // DIGITS) * DIGITS, np.uint8)
        filled[: fields.size] = fields
        return (filled.reshape(-1, DIGITS) @ POWERS).astype(np.uint8).tobytes()
    if width % BYTE == 0:
        return fields.astype(f"<u{width // BYTE}").tobytes()
    bits = (fields[:, None] >> np.arange(width - 1, -1, -1, dtype=fields.dtype)).astype(np.uint8) & 1
    return np.packbits(bits).tobytes()


def unpack_fields(content: bytes, n: int, width: int) -> Fields:
    """Unpack what `pack_fields` gave; `content` has exactly the bytes of `n` fields.

    Raises:
        ValueError: a byte holds no five ternary digits.
    """
    values = np.frombuffer(content, np.uint8)
    if width == TERNARY:
        if values.max(initial=0) >= 3**DIGITS:
            raise ValueError(f"byte {values.max()} holds no {DIGITS} ternary digits")
        return (values[:, None] // POWERS.astype(np.uint8) % 3).reshape(-1)[:n]
    if width % BYTE == 0:
        return np.frombuffer(content, f"<u{width // BYTE}")
    bits = np.unpackbits(values, count=n * width).reshape(n, width)
    kind = np.uint8 if width < BYTE else np.uint16
    return bits.astype(kind) @ (1 << np.arange(width - 1, -1, -1)).astype(kind)
