"""State of a run in a file of its folder, for who looks from outside or comes back later."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import Field
from rich.console import Console

from dlmi_bench.files import parsing, read_bytes, write_text
from dlmi_bench.records import Plain
from dlmi_bench.store.lock import is_held
from dlmi_bench.suite.display import Display, Left, RunDisplay
from dlmi_bench.suite.engines import Engine
from dlmi_bench.suite.plan import Step

FILENAME = "status.json"
MAX_BYTES = 1 << 24
EVERY_S = 10.0  # the file is written no more often than that: it would disturb what is measured


class RunningCell(Plain):
    """A cell under way; `place` is the worker, empty for the only one."""

    cell: str
    share: float
    place: str


class RunStatus(Plain):
    """State of a run when it was written last.

    Attributes:
        state: `killed` is what a reader makes of `running` where nobody writes any more.
        step: What is being done, the `index`-th of `total` steps, from 1 on.
        left_s: Estimated time of all that is left [s].
        n_cells_left: Cells to do, this step's included when it began.
    """

    state: Literal["running", "ended", "interrupted", "failed", "killed"] = "running"
    pid: int
    host: str
    suite: str
    executor: str
    begun_at: str
    written_at: str
    step: str = ""
    index: int = Field(0, ge=0)
    total: int = Field(0, ge=0)
    left_s: float = Field(0.0, ge=0)
    n_cells_left: int = Field(0, ge=0)
    n_lost: int = Field(0, ge=0)
    running: tuple[RunningCell, ...] = ()


def read_status(folder: Path) -> RunStatus | None:
    """State of the run that writes to a folder, or of the last one that did; None where none has.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FILENAME
    if not path.is_file():
        return None
    with parsing(path, "remove it: the next run writes it again"):
        status = RunStatus.model_validate_json(read_bytes(path, MAX_BYTES))
    is_over = status.state == "running" and not is_held(folder)
    return status.model_copy(update={"state": "killed"}) if is_over else status


class StatusDisplay(Display):
    """A display that also writes the state of the run, on the way to another display.

    Args:
        shown: Gets everything as well.
        engine: Is asked what is under way.
    """

    def __init__(self, shown: Display, folder: Path, engine: Engine, suite: str, executor: str) -> None:
        self._shown, self._folder, self._engine = shown, folder, engine
        self._written_s = self._step_s = 0.0
        self._left, self._share = Left(0.0, 0.0), 0.0
        now = _now()
        self._status = RunStatus(
            pid=os.getpid(), host=socket.gethostname(), suite=suite, executor=executor, begun_at=now, written_at=now
        )

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        state = "ended" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed"
        self._write(state=state, left_s=0.0, running=())

    def start_step(self, step: Step, index: int, total: int, left: Left | None = None) -> None:
        self._shown.start_step(step, index, total, left)
        self._step_s, self._left, self._share = time.monotonic(), left or Left(0.0, 0.0), 0.0
        self._status = self._status.model_copy(
            update={
                "step": f"{step.task}: {step.title}",
                "index": index + 1,
                "total": total,
                "n_cells_left": self._left.n_cells,
            }
        )
        self._write_now_and_then()

    def progress(self, doing: str, fraction: float) -> None:
        self._shown.progress(doing, fraction)
        self._share = fraction
        self._write_now_and_then()

    def end_step(self, step: Step, outcome: str) -> None:
        self._shown.end_step(step, outcome)

    def say(self, text: str) -> None:
        self._shown.say(text)

    def _write_now_and_then(self) -> None:
        if time.monotonic() - self._written_s >= EVERY_S:
            self._write()

    def _write(self, **changed: object) -> None:
        self._written_s = time.monotonic()
        left_s = self._left.estimate(self._written_s - self._step_s, self._share)
        running = tuple(
            RunningCell(cell=cell.key, share=work.share, place=work.place)
            for work in self._engine.list_running()
            for cell in work.cells
        )
        known = {"written_at": _now(), "left_s": left_s, "running": running, "n_lost": self._engine.n_lost}
        self._status = self._status.model_copy(update=known | changed)
        with suppress(OSError):  # a run does not end for want of its status
            write_text(self._folder / FILENAME, self._status.model_dump_json(indent=1))


@contextmanager
def show_run(console: Console, folder: Path, engine: Engine, suite: str, executor: str) -> Iterator[Display]:
    """Show a run on a console, and keep its state in the folder of its results."""
    with RunDisplay(console) as shown, StatusDisplay(shown, folder, engine, suite, executor) as display:
        yield display


def _now() -> str:
    return datetime.now(UTC).isoformat(" ", "seconds")
