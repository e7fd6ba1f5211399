"""Whole numbers of the header, and a reader that never reads beyond the end."""

from dlmi_bench.instruments.packing.fields import Fields, count_bytes, unpack_fields

STOP = 0x80  # added to each byte that another one follows
SHIFT = 7
MAX_NUMBER_BYTES = 9  # of 63 bits, as sizes in ONNX have


def write_number(value: int) -> bytes:
    """Write a whole number, 7 bits a byte, lowest first."""
    found = bytearray()
    while value >= STOP:
        found.append(value % STOP + STOP)
        value >>= SHIFT
    return bytes([*found, value])


def count_number_bytes(value: int) -> int:
    """Count the bytes of a whole number."""
    return len(write_number(value))


class Reader:
    """Reads bytes one part after the other.

    Raises:
        ValueError: by each method, where the content ends before the part does.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    @property
    def n_left(self) -> int:
        return len(self._content) - self._place

    def take(self, n: int) -> bytes:
        """Take the next `n` bytes."""
        if n > self.n_left:
            raise ValueError(f"{n} bytes are needed at byte {self._place}, and {self.n_left} are left")
        self._place += n
        return self._content[self._place - n : self._place]

    def take_number(self) -> int:
        """Take the next whole number."""
        value = 0
        for place in range(MAX_NUMBER_BYTES):
            (byte,) = self.take(1)
            value += (byte % STOP) << (SHIFT * place)
            if byte < STOP:
                return value
        raise ValueError(f"a number of more than {MAX_NUMBER_BYTES} bytes")

    def take_fields(self, n: int, width: int) -> Fields:
        """Take the next `n` fields, see `pack_fields`."""
        return unpack_fields(self.take(count_bytes(n, width)), n, width)
