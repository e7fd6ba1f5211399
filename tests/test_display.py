"""Progress: a line replaced in place in a notebook, plain lines in a log, a bar on a terminal."""

import io
import sys
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from dlmi_bench.suite.display import RunDisplay
from dlmi_bench.suite.plan import Step
from dlmi_reports.plots.joined import draw_joined

STEPS = [Step("train", "digits", (), f"train mlp, seed {n} of 3") for n in (1, 2, 3)]
OUTCOMES = ("kept", "done", "failed: no memory")


class FakeNotebook(ModuleType):
    """IPython.display: keeps what its only output has shown."""

    def __init__(self) -> None:
        super().__init__("IPython.display")
        self.shown: list[str] = []

    def display(self, content: Any, **options: bool) -> "FakeNotebook":
        """Show an output that can be replaced."""
        assert not self.shown
        assert options == {"raw": True, "display_id": True}
        self.shown.append(content["text/plain"])
        return self

    def update(self, content: Any, *, raw: bool) -> None:
        """Replace the output."""
        assert raw
        self.shown.append(content["text/plain"])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> FakeNotebook:
    fake = FakeNotebook()
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    return fake


def go_through(console: Console) -> None:
    """A run of three steps, one of which fails."""
    with RunDisplay(console) as display:
        for index, (step, outcome) in enumerate(zip(STEPS, OUTCOMES, strict=True)):
            display.start_step(step, index, len(STEPS))
            display.progress("epoch", 0.5)
            display.end_step(step, outcome)


def test_notebook_has_one_line(notebook: FakeNotebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step replaces the line, the last text sums up, and only a failure gets a line of its own."""
    printed: list[str] = []
    console = Console(force_jupyter=True)
    monkeypatch.setattr(console, "print", lambda text, **_: printed.append(text))
    go_through(console)
    assert notebook.shown[0] == "starting"
    assert [line.partition(",")[0] for line in notebook.shown[1:4]] == [f"[{n}/3] digits: train mlp" for n in (1, 2, 3)]
    assert notebook.shown[-1] == "1 kept, 1 done, 1 failed (0 s)"
    assert printed == ["[3/3] digits: train mlp, seed 3 of 3: failed: no memory (0.0 s)"]


def test_quiet_notebook_shows_nothing(notebook: FakeNotebook) -> None:
    """Who asks for no progress gets none in a notebook either."""
    go_through(Console(force_jupyter=True, quiet=True))
    assert notebook.shown == []


def test_log_has_a_line_for_each_step(notebook: FakeNotebook) -> None:
    """Steps that were done get a plain line, without anything that steers a terminal."""
    file = io.StringIO()
    go_through(Console(file=file, force_terminal=False, force_jupyter=False, width=100))
    assert notebook.shown == []
    assert file.getvalue().splitlines() == [
        "[2/3] digits: train mlp, seed 2 of 3: done (0.0 s)",
        "[3/3] digits: train mlp, seed 3 of 3: failed: no memory (0.0 s)",
    ]


def test_terminal_has_a_bar(notebook: FakeNotebook) -> None:
    """A terminal is steered: the bar is drawn over itself."""
    file = io.StringIO()
    go_through(Console(file=file, force_terminal=True, force_jupyter=False, width=100))
    assert notebook.shown == []
    assert "\x1b[" in file.getvalue()
    assert "1/3" in file.getvalue()


def test_plot_of_a_study_shows_itself() -> None:
    """A notebook gets an image without pyplot or a magic command."""
    row = {
        "task": "rings",
        "model": "mlp",
        "n_parameters": 10,
        "test_accuracy": 0.9,
        "test_accuracy_lo": 0.8,
        "test_accuracy_hi": 0.95,
    }
    figure: Any = draw_joined([row], "n_parameters")
    assert figure._repr_png_().startswith(b"\x89PNG")
