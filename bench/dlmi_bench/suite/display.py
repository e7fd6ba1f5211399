"""Progress of a run: a live line on a terminal or in a notebook, plain lines elsewhere."""

import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from dlmi_bench.units import format_share

if TYPE_CHECKING:
    from dlmi_bench.suite.plan import Step


class Display(Protocol):
    """Receiver of a run's progress."""

    def start_step(self, step: "Step", index: int, total: int) -> None: ...

    def progress(self, doing: str, fraction: float) -> None: ...

    def end_step(self, step: "Step", outcome: str) -> None: ...


class NotebookLine:
    """One line of a notebook's output that is replaced in place; needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": "starting"}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        """Put the text in place of the line."""
        self._handle.update({"text/plain": text}, raw=True)


class RunDisplay:
    """Show cells done and to do, the current one, and the time left.

    The screen is drawn when something happens, not on a timer: a busy parent would disturb what is measured. For the
    same reason it is not drawn more often than every MIN_INTERVAL_S.
    """

    MIN_INTERVAL_S = 0.25

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
        self._n_kept = 0
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

    def start_step(self, step: "Step", index: int, total: int) -> None:
        self._index, self._total = index, total
        self._step_s = time.monotonic()
        self._draw(f"{step.task}: {step.title}", is_forced=True)

    def progress(self, doing: str, fraction: float) -> None:
        self._draw(f"{doing} {format_share(fraction)}" if 0 < fraction < 1 else doing)

    def end_step(self, step: "Step", outcome: str) -> None:
        self._outcomes[outcome.partition(":")[0]] += 1
        is_kept = outcome.startswith("kept")
        self._n_kept += is_kept
        if outcome == "kept" or (self._notebook and outcome == "done"):
            return
        took = "" if is_kept else f" ({time.monotonic() - self._step_s:.1f} s)"
        line = f"{self._place()} {step.task}: {step.title}: {outcome}{took}"
        self._console.print(line, markup=False, highlight=False)

    def _place(self) -> str:
        return f"[{self._index + 1:>{len(str(self._total))}}/{self._total}]"

    def _draw(self, text: str, *, is_forced: bool = False) -> None:
        now_s = time.monotonic()
        if not is_forced and now_s - self._drawn_s < self.MIN_INTERVAL_S:
            return
        self._drawn_s = now_s
        left = self._estimate_left(now_s)
        if self._notebook:
            self._notebook.show(f"{self._place()} {text}{left and f', {left}'}")
        self._bar.update(self._line, description=text, completed=self._index, total=self._total, left=left)
        self._bar.refresh()

    def _estimate_left(self, now_s: float) -> str:
        """Estimate from the mean of the steps done in this run; steps that were kept took no time."""
        n_done = self._index - self._n_kept
        if n_done < 1:
            return ""
        left_s = (self._step_s - self._begin_s) / n_done * (self._total - self._index) - (now_s - self._step_s)
        return (
            f"about {max(0, round(left_s / 60))} min left" if left_s > 90 else f"about {max(0, round(left_s))} s left"
        )
