"""Folders of the user's own, named once: the command's workers inherit them through the environment."""

import os
from pathlib import Path

from dlmi_bench.errors import UsageError

PPMI = "DLMI_BENCH_PPMI_DIR"  # a PPMI download: real scans instead of the synthetic cohort
WEIGHTS = "DLMI_BENCH_WEIGHTS_DIR"  # weights trained on ImageNet, NAME.pth or NAME.safetensors


def find_folder(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return Path(named) if named else None


def name_folder(variable: str, folder: Path | None) -> None:
    """Make `folder` the one that is found from now on; None changes nothing.

    Raises:
        UsageError: there is no such folder.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}, for {variable}: not a folder", "name one that exists")
    os.environ[variable] = str(folder.resolve())
