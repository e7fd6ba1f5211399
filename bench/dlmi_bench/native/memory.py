"""Places of a net's buffers in its scratch memory: those that are alive at once do not overlap."""

from dlmi_bench.native.net import INPUT, Net

ALIGNMENT = 16  # numbers: 64 bytes, if the scratch memory begins at such an address


def place_buffers(net: Net) -> tuple[dict[str, int], int]:
    """Offset of each buffer, the first gap that is free while it lives, and numbers of the scratch memory."""
    offsets: dict[str, int] = {}
    lives = _find_lives(net)
    for name, (first, last) in lives.items():
        size = _round_up(net.sizes[name])
        taken = sorted(
            (offsets[other], offsets[other] + _round_up(net.sizes[other]))
            for other in offsets
            if lives[other][0] <= last and first <= lives[other][1]
        )
        offset = 0
        for begin, end in taken:
            if offset + size <= begin:
                break
            offset = max(offset, end)
        offsets[name] = offset
    return offsets, max((offsets[name] + _round_up(net.sizes[name]) for name in offsets), default=0)


def _find_lives(net: Net) -> dict[str, tuple[int, int]]:
    """First and last call by buffer, in the order of the first."""
    lives: dict[str, tuple[int, int]] = {}
    for i, call in enumerate(net.calls):
        for tensor in (*call.reads, call.writes):
            if tensor.buffer != INPUT:
                lives[tensor.buffer] = (lives.get(tensor.buffer, (i, i))[0], i)
    if net.output.buffer != INPUT:
        lives[net.output.buffer] = (lives[net.output.buffer][0], len(net.calls))
    return lives


def _round_up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
