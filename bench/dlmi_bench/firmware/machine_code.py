"""Machine code: instructions of two and of four bytes."""

THUMB_LONG = 0b11101  # first five bits from which an instruction of Thumb has four bytes
RISCV_LONG = 0b11  # last two bits of one of RISC-V that has four bytes


def count_block(code: bytes, *, is_arm: bool) -> int:
    """Count instructions; the first half of each says how long it is."""
    n = i = 0
    while i < len(code):
        half = int.from_bytes(code[i : i + 2], "little")
        is_long = half >> 11 >= THUMB_LONG if is_arm else half & RISCV_LONG == RISCV_LONG
        i, n = i + (4 if is_long else 2), n + 1
    return n
