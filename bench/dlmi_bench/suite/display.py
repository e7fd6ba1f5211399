"""Progress of a run: a live line on a terminal or in a notebook, plain lines elsewhere."""

import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from dlmi_bench.units import format_left, format_share

if TYPE_CHECKING:
    from dlmi_bench.suite.plan import Step


@dataclass(frozen=True)
class Left:
    """Estimated time of the step that starts, and of all later ones [s]; the number of cells in them that are to do."""

    step_s: float
    later_s: float
    n_cells: int = 0

    def estimate(self, elapsed_s: float, share: float) -> float:
        """Estimate what is left once the step has run that long and done this share of itself; 0 if it does not say."""
        whole_s = elapsed_s / share if share > MIN_SHARE else self.step_s
        return max(0.0, whole_s - elapsed_s) + self.later_s


MIN_SHARE = 0.05  # below, a share tells less than the estimate


class Display(Protocol):
    """Receiver of a run's progress."""

    def start_step(self, step: "Step", index: int, total: int, left: Left | None = None) -> None: ...

    def progress(self, doing: str, fraction: float) -> None: ...

    def end_step(self, step: "Step", outcome: str) -> None: ...

    def say(self, text: str) -> None: ...


class NotebookLine:
    """One line of a notebook's output that is replaced in place; needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": "starting"}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        """Put the text in place of the line."""
        self._handle.update({"text/plain": text}, raw=True)


class RunDisplay:
    """Show cells done and to do, the current one, and the time left; in a log that is a line now and then.

    The screen is drawn when something happens, not on a timer: a busy parent would disturb what is measured. For the
    same reason it is not drawn more often than every MIN_INTERVAL_S.
    """

    MIN_INTERVAL_S = 0.25
    FIRST_LEFT_S = 30.0  # the first step may be a long one
    LEFT_INTERVAL_S = 180.0
    MIN_LEFT_S = 30.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._line = self._bar.add_task("starting", total=None, left="")
        self._begin_s = time.monotonic()
        self._step_s = self._drawn_s = self._begin_s
        self._left: Left | None = None
        self._is_timed, self._share = True, 0.0
        self._said_s: float | None = None  # when a log was last told the time left
        self._index = self._total = 0
        self._outcomes: Counter[str] = Counter()
        self._notebook: NotebookLine | None = None

    def __enter__(self) -> Self:
        if self._console.is_jupyter and not self._console.quiet:
            self._notebook = NotebookLine()
        self._bar.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._bar.stop()
        if self._notebook:
            counts = ", ".join(f"{n} {outcome}" for outcome, n in self._outcomes.items())
            self._notebook.show(f"{counts or 'nothing to do'} ({time.monotonic() - self._begin_s:.0f} s)")

    def start_step(self, step: "Step", index: int, total: int, left: Left | None = None) -> None:
        self._index, self._total, self._left = index, total, left
        self._is_timed, self._share = step.is_timed, 0.0
        self._step_s = time.monotonic()
        self._draw(f"{step.task}: {step.title}", is_forced=True)
        if index and self._said_s is None:
            self._log_left(self._step_s)

    def progress(self, doing: str, fraction: float) -> None:
        if not self._is_timed:  # a timed training is repeated, so that its share comes again
            self._share = fraction
        now_s = time.monotonic()
        if now_s - (self._said_s or self._begin_s) >= (self.LEFT_INTERVAL_S if self._said_s else self.FIRST_LEFT_S):
            self._log_left(now_s)
        self._draw(f"{doing} {format_share(fraction)}" if 0 < fraction < 1 else doing)

    def end_step(self, step: "Step", outcome: str) -> None:
        self._outcomes[outcome.partition(":")[0]] += 1
        if outcome == "kept" or (self._notebook and outcome == "done"):
            return
        took = "" if outcome.startswith("kept") else f" ({time.monotonic() - self._step_s:.1f} s)"
        line = f"{self._place()} {step.task}: {step.title}: {outcome}{took}"
        self._console.print(line, markup=False, highlight=False)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, highlight=False)

    def _place(self) -> str:
        return f"[{self._index + 1:>{len(str(self._total))}}/{self._total}]"

    def _draw(self, text: str, *, is_forced: bool = False) -> None:
        now_s = time.monotonic()
        if not is_forced and now_s - self._drawn_s < self.MIN_INTERVAL_S:
            return
        self._drawn_s = now_s
        left_s = self._estimate_left(now_s)
        left = f"about {format_left(left_s)} left" if left_s else ""
        if self._notebook:
            self._notebook.show(f"{self._place()} {text}{left and f', {left}'}")
        self._bar.update(self._line, description=text, completed=self._index, total=self._total, left=left)
        self._bar.refresh()

    def _estimate_left(self, now_s: float) -> float:
        return self._left.estimate(now_s - self._step_s, self._share) if self._left else 0.0

    def _log_left(self, now_s: float) -> None:
        """Tell a log, which has no line that is replaced, the time left."""
        left_s = self._estimate_left(now_s)
        if self._notebook or self._console.is_terminal or left_s < self.MIN_LEFT_S:
            return
        self._said_s = now_s
        self._console.print(f"{self._place()} about {format_left(left_s)} left", markup=False, highlight=False)
