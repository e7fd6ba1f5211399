"""Logs of workers, one file each in the folder of results; the driver writes them all, also those of nodes."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from dlmi_bench.suite.engines import Ended
from dlmi_bench.units import clean_text

FOLDER = "logs"
MAX_BYTES = 1 << 20  # of a log; then it is turned over, and the one before it is dropped


def add_log(folder: Path, ended: Ended) -> None:
    """Write what became of a piece of work, and what was printed meanwhile. A disk that is full costs lines only."""
    failed = ended.result.args[0] if isinstance(ended.result, Exception) else ""
    lost = f", after {ended.n_lost} tries that were lost" if ended.n_lost else ""
    now = datetime.now(UTC).isoformat(" ", "seconds")
    lines = [
        f"{now} {cell.key}: {'failed' if failed else 'done'} in {ended.took_s:.1f} s{lost}" for cell in ended.cells
    ]
    text = "\n".join(map(clean_text, [*lines, *filter(None, (failed, ended.log.rstrip()))]))
    path = folder / FOLDER / f"{re.sub(r'[^A-Za-z0-9.-]', '_', ended.place)[:100]}.log"
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{text}\n")
