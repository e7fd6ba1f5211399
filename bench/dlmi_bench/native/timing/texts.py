"""Texts of the C files of this folder, which reach no exported net."""

from pathlib import Path


def read_text(*names: str) -> str:
    """Texts of these files, one behind the other."""
    return "\n".join(Path(__file__).with_name(f"{name}.c").read_text(encoding="utf-8") for name in names)
