"""`pytest -p dlmi_bench.gating.plugin --dlmi-gate`: one test for each decision of the gate.

It is no entry point: whoever installs this package keeps the pytest that they had.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dlmi_bench.errors import BenchError

if TYPE_CHECKING:
    from dlmi_bench.gating.output import GateOutcome, VerdictRow


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dlmi-bench")
    group.addoption("--dlmi-gate", action="store_true", help="compare models with a baseline, side by side")
    group.addoption("--dlmi-baseline", default="baseline", metavar="DIR", help="folder of the baseline")
    group.addoption("--dlmi-out", default=None, metavar="DIR", help="judge this run, not the baseline's weights")
    group.addoption("--dlmi-onnx", action="append", default=[], metavar="FILE", help="judge this file; may be repeated")
    group.addoption("--dlmi-test", default=None, metavar="FILE", help="test set of the files, .npz with x and y")
    group.addoption("--dlmi-settings", default=None, metavar="FILE", help="limits in TOML")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--dlmi-gate"):
        return
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("--dlmi-gate needs the machine to itself: run it without -n")
    import_module("dlmi_bench.backends")  # switches telemetry off before the user's tests load a runtime


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the gate once and add its decisions to the tests that were collected."""
    if not config.getoption("--dlmi-gate"):
        return
    collector = GateCollector.from_parent(session, name="dlmi-gate")
    collector.options = {
        name: Path(value) if (value := config.getoption(f"--dlmi-{name}")) else None
        for name in ("baseline", "out", "test", "settings")
    }
    collector.onnx = tuple(map(Path, config.getoption("--dlmi-onnx")))
    try:
        items.extend(collector.collect())
    except BenchError as error:
        raise pytest.UsageError(str(error)) from error


class GateCollector(pytest.Collector):
    """Collector that runs the gate and yields one test per decision."""

    options: dict[str, Path | None]
    onnx: tuple[Path, ...]

    def collect(self) -> Iterator["GateItem"]:
        from dlmi_bench.gating.gate import run_gate
        from dlmi_bench.gating.progress import ProgressLines
        from dlmi_bench.gating.settings import load_settings
        from dlmi_bench.gating.sides.request import GateRequest

        baseline = self.options["baseline"]
        assert baseline is not None
        request = GateRequest(out=self.options["out"], onnx=self.onnx, test=self.options["test"])
        settings = load_settings(self.options["settings"])
        capture = self.config.pluginmanager.getplugin("capturemanager")
        shown = capture.global_and_fixture_disabled() if capture else nullcontext()
        with shown, ProgressLines("gate", is_quiet=self.config.get_verbosity() < 0) as on_progress:
            outcome = run_gate(baseline, settings, request, on_progress)
        for row in outcome.rows:
            item = GateItem.from_parent(self, name=f"{row.decision.name} [{row.kind}]")
            item.row, item.outcome = row, outcome
            item.user_properties += [("note", note) for note in row.decision.notes]
            yield item


class GateItem(pytest.Item):
    """Test of one decision: only a good one passes."""

    row: "VerdictRow"
    outcome: "GateOutcome"

    def runtest(self) -> None:
        decision = self.row.decision
        if decision.verdict.exit_code == 0:
            return
        text = f"{decision.verdict}: {decision.why}"
        if self.outcome.only_warns(decision):
            pytest.skip(text)
        pytest.fail(text, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name
