"""Data caches of a processor as the kernel describes them."""

from dataclasses import dataclass
from pathlib import Path

from dlmi_bench.instruments.host.facts import ROOT

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Cache:
    """A level of cache and what it holds; an outer level may be shared by several cores."""

    level: int
    size_bytes: int

    @property
    def name(self) -> str:
        return f"L{self.level}"


def read_caches(root: Path = ROOT) -> tuple[Cache, ...]:
    """Data caches of the first processor, the innermost first; none where the kernel does not show them."""
    found: dict[int, int] = {}
    for folder in sorted(root.glob("sys/devices/system/cpu/cpu0/cache/index*")):
        try:
            kind, level, size = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
            if kind != "Instruction":
                found[int(level)] = _parse_size(size)
        except (OSError, ValueError, KeyError):
            continue
    return tuple(Cache(level, size) for level, size in sorted(found.items()) if size > 0)


def _parse_size(text: str) -> int:
    """Parse for instance 48K; bytes where there is no unit."""
    return int(text) if text.isdigit() else int(text[:-1]) * UNITS[text[-1]]
