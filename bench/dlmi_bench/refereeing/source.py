"""Source of a user's model: how much of it is data, and by which names it reaches into the interpreter."""

import tokenize
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

# Names by which code finds objects that nobody handed to it, or sees what the interpreter does.
REACHES = frozenset(
    "_getframe get_objects get_referrers get_referents addaudithook settrace setprofile _current_frames".split()
)
DATA = {tokenize.STRING, tokenize.NUMBER, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def measure_source(paths: Iterable[Path]) -> tuple[int, int, tuple[str, ...]]:
    """Bytes of source, bytes of strings, numbers and comments in it, and names of REACHES that it holds."""
    source_bytes, data_bytes, reaches = 0, 0, set[str]()
    for path in paths:
        content = path.read_bytes()
        source_bytes += len(content)
        for token in tokenize.tokenize(BytesIO(content).readline):
            if token.type in DATA:
                data_bytes += len(token.string.encode())
            reaches |= {token.string} & REACHES
    return source_bytes, data_bytes, tuple(sorted(reaches))
