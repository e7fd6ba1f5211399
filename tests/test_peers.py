"""Other people's tools on the same spins: how they are asked, read and told apart, and that none stops the others."""

import runpy
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlmi_bench.jobs.worker import JobError
from dlmi_bench.selftest import spins
from dlmi_bench.selftest.peers import compare_peers, list_requests
from dlmi_bench.selftest.spins import draw_durations
from dlmi_bench.selftest.tools.readings import (
    OWN,
    TOOLS,
    Reading,
    Spins,
    Tool,
    is_beyond_half,
    is_resolved,
    is_significant,
    read_pyperf,
)


@pytest.mark.parametrize("python", [None, Path("no-such-python"), Path(sys.executable)])
def test_tool_that_is_not_there_says_why(python: Path | None) -> None:
    """Without an interpreter, with one that does not exist, and with one that lacks the tool."""
    (row,) = compare_peers(python, ["pyperf"])
    assert row.centre.startswith("not available: ")
    assert row.centre != "not available: "


def make_tool(ask: Callable[[Spins], list[Reading]], name: str = "told") -> Tool:
    return Tool(name, OWN, lambda _, spins: ask(spins), "median", "sd", "threshold", is_beyond_half)


def read_exactly(spins: Spins) -> list[Reading]:
    return [{"centre_s": median_s, "spread_s": 0.0, "most_s": median_s, "n": 1} for median_s, _ in spins]


def test_tools_take_turns() -> None:
    """Every request goes to all tools before the next, and each tool begins some of them."""
    asked: list[str] = []
    rows = compare_peers(None, say=asked.append, tools=[make_tool(read_exactly, name) for name in "abc"])
    labels = [label for label, _ in list_requests()]
    assert [said.partition(",")[0] for said in asked] == [label for label in labels for _ in range(3)]
    assert [said[-1] for said in asked][:9] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert [row.tool for row in rows] == 4 * ["a"] + 4 * ["b"] + 4 * ["c"]
    assert (rows[3].centre, rows[3].error) == ("told 5 of 5 [48, 100 %]", "false 0 of 5 [0, 52 %]")
    assert {row.version for row in rows} == {version(OWN)}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (JobError("worker died\nlong story", ""), "worker died"),
        (IndexError("list index out of range"), "IndexError: list index out of range"),
        (subprocess.CalledProcessError(1, "x", stderr="Traceback\nImportError: no tool\n"), "ImportError: no tool"),
        (None, "ValueError: 0 answers to 3 spins"),
    ],
)
def test_tool_that_fails_stops_nobody(fault: Exception | None, said: str) -> None:
    """What it told before stands, then a row that says why; it is not asked again, and the others go on."""
    asked: list[Spins] = []

    def fail(spins: Spins) -> list[Reading]:
        asked.append(spins)
        if len(spins) == 1:
            return read_exactly(spins)
        if fault:
            raise fault
        return []

    rows = compare_peers(None, tools=[make_tool(fail, "bad"), make_tool(read_exactly, "good")])
    assert [row.spin for row in rows if row.tool == "bad"] == ["20 us", "1 ms", "50 ms", "the rest"]
    assert rows[3].centre == f"not available: {said}"
    assert len(asked) == 4
    assert len([row for row in rows if row.tool == "good"]) == 4


def test_pyperf_is_read_by_hand() -> None:
    """Mean of the values of all runs, without the one that calibrates; loops are said once for all, or here."""
    runs: list[dict[str, Any]] = [{"warmups": [[4, 9.0]]}, {"values": [1.0, 2.0]}, {"values": [3.0, 6.0]}]
    read = read_pyperf({"runs": runs}, {"loops": 4})
    assert (read["centre_s"], read["most_s"], read["n"]) == (3.0, 6.0, 16)
    assert read["spread_s"] == pytest.approx(2.1602, abs=1e-4)
    assert read_pyperf({"runs": runs, "metadata": {"loops": 2}}, {"loops": 4})["n"] == 8


class PyperfRunner:
    """pyperf's, without its clock: a manager that writes the commands of its processes, or one of these processes."""

    commands: list[list[str]] = []

    def __init__(self, add_cmdline_args: Callable[[list[str], Namespace], None]) -> None:
        self.number, self.index, self.argparser = add_cmdline_args, 0, ArgumentParser()
        self.argparser.add_argument("--worker-task", type=int)

    def parse_args(self) -> Namespace:
        self.options = self.argparser.parse_args()
        return self.options

    def bench_func(self, _: str, func: Callable[[], object]) -> None:
        if self.options.worker_task is None:
            for _process in range(3):
                self.commands.append([f"--worker-task={self.index}"])
                self.number(self.commands[-1], self.options)
        elif self.options.worker_task == self.index:
            func()
        self.index += 1


def test_every_process_of_pyperf_has_a_plan_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes of two spins: six samples of durations, none of them twice, and the same ones another time."""
    planned: list[tuple[float, ...]] = []

    def draw(median_s: float, seed: int) -> Callable[[], None]:
        return lambda: planned.append(tuple(draw_durations(median_s, seed, 5)))

    monkeypatch.setattr(spins, "make_spin", draw)
    monkeypatch.setattr(PyperfRunner, "commands", [])
    monkeypatch.setitem(sys.modules, "pyperf", SimpleNamespace(Runner=PyperfRunner))
    monkeypatch.setenv("DLMI_BENCH_SPINS", "[[1e-3, 3], [1e-3, 4]]")
    run_pyperf_rows(monkeypatch)
    for command in 2 * PyperfRunner.commands:
        run_pyperf_rows(monkeypatch, *command)
    assert len(planned) == 12
    assert len(set(planned)) == 6
    assert planned[:6] == planned[6:]


def run_pyperf_rows(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pyperf_rows", *arguments])
    runpy.run_path(str(Path(spins.__file__).parent / "tools" / "pyperf_rows.py"))


def test_rules_of_difference() -> None:
    """Each tells what is slower from what is alike, and never calls the faster of two slower."""
    base = {"centre_s": 1.0, "values_s": [0.99, 1.0, 1.01], "rounds_s": [[1.0], [1.01], [0.99]]}
    slow = {"centre_s": 1.05, "values_s": [1.04, 1.05, 1.06], "rounds_s": [[1.05], [1.06], [1.04]]}
    alike = {"centre_s": 1.01, "values_s": [0.98, 1.01, 1.04], "rounds_s": [[1.01], [0.99], [1.0]]}
    for is_told in (is_beyond_half, is_significant, is_resolved):
        assert [is_told(base, other) for other in (slow, alike)] == [True, False]
        assert not is_told(slow, base)


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS[:3], ids=lambda tool: tool.name)
def test_tools_of_this_environment_answer(tool: Tool) -> None:
    """This one, pytest-benchmark and torch read three spins of 1 ms between a tenth and ten times that."""
    readings = tool.ask(Path(sys.executable), [(1e-3, seed) for seed in range(3)])
    assert [1e-4 < reading["centre_s"] < 1e-2 for reading in readings] == [True, True, True]
    assert not tool.is_told(readings[0], readings[0])
