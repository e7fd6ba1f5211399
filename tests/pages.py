"""Runs a page of the guide as its reader would, and compares what is printed with what the page shows.

In ```console blocks lines that begin with `$ ` are commands, and what follows one is its output. A comment above a
block says more of it: `<!-- write: NAME -->` is a file that the reader writes, `<!-- exit: N -->` the exit code of the
last command, `<!-- varies -->` an output whose lines depend on the machine, `<!-- elsewhere: WHY -->` a block that no
test runs. Figures are never compared, and `...` stands for anything.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlmi_bench.store import FILENAME, Store
from dlmi_reports.claims.verdicts import judge_store
from dlmi_reports.results.load import load_results

BLOCK = re.compile(r"((?:<!-- [^\n]+ -->\n)*)```(\w+)\n(.*?)```", re.DOTALL)
COMMENT = re.compile(r"<!-- ([\w/.-]+)(?:: (.+))? -->")
# A figure with its sign, decimals and powers, and units of time, energy and bytes; what a busy machine says instead.
FIGURE = re.compile(r"[-+]?\d[\d ,.:]*(?:e[-+]?\d+)?")
UNIT = re.compile(r"(?<=[0\]])\s*(?:ns|us|ms|s|min|h|[kMG]|[KMG]iB|kB|B|[num]?J)\b")
MARKS = re.compile(r"\b(?:n/a|noisy|mixed|INVALID)\b")


@dataclass
class Step:
    """A block: its language, its text, and what the comments above it say."""

    language: str
    text: str
    said: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A command with the output that the page shows; None where it shows none."""

    words: str
    shown: list[str]


def list_steps(text: str) -> Iterator[Step]:
    """List the blocks of a page in order."""
    for comments, language, content in BLOCK.findall(text):
        yield Step(language, content, dict(COMMENT.findall(comments)))


def list_calls(step: Step) -> list[Call]:
    """List the commands of a console block; a backslash joins lines."""
    calls: list[Call] = []
    for line in step.text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            calls.append(Call(line[2:], []))
        elif calls:
            calls[-1].shown.append(line)
    return calls


def simplify(line: str) -> str:
    """What of a line does not depend on the machine or the hour."""
    line = re.sub(r"[0-9a-f]{8,}", "0", line)
    line = UNIT.sub("", MARKS.sub("0", FIGURE.sub("0", line)))
    line = re.sub(r"[\s─━]+", " ", re.sub(r"[\[\](),]", " ", line)).strip()
    return re.sub(r"\b0(?: 0)+\b", "0", line)


def matches(shown: str, printed: str) -> bool:
    """Whether a line is what the page shows."""
    parts = (re.escape(simplify(part)) for part in shown.split("..."))
    return re.fullmatch(r"\s*.*\s*".join(parts), simplify(printed)) is not None


def find_difference(shown: list[str], printed: list[str], *, varies: bool = False) -> str:
    """Say which line of the page the output lacks; empty where it has them all, in order and with nothing between.

    A line of `...` stands for any lines. Where the output varies, others may stand between, and of each line that is
    not indented only the first word counts; what is said of latencies is not compared.
    """
    if varies:
        shown, printed = ([*_list_first_words(lines)] for lines in (shown, printed))
    rest, is_gap = [line for line in printed if line.strip()], varies
    for line in (line for line in shown if line.strip()):
        if line.strip() == "...":
            is_gap = True
            continue
        while rest and is_gap and not matches(line, rest[0]):
            rest.pop(0)
        if not rest or not matches(line, rest.pop(0)):
            return f"the page shows {line!r}"
        is_gap = varies
    return "" if is_gap or not rest else f"the page does not show {rest[0]!r}"


def check_reports(folder: Path) -> int:
    """Check that reports say where data are synthetic, and that a claim was judged; returns how many there are."""
    reports = [path for path in folder.rglob("report.html") if (path.parent.parent / FILENAME).is_file()]
    for path in reports:
        store = Store(path.parent.parent, must_exist=True)
        is_synthetic = any(task.is_synthetic for task in load_results(store).tasks.values())
        assert ("synthetic data" in path.read_text(encoding="utf-8").lower()) == is_synthetic, path
        verdicts = {judged.verdict.value for judged in judge_store(store, None).judgements}
        assert verdicts != {"NOT MEASURED"}, path
    return len(reports)


def _list_first_words(lines: list[str]) -> Iterator[str]:
    yield from (line.split()[0] for line in lines if line[:1].strip() and line != "..." and "latency" not in line)


class Reader:
    """Someone with a folder of their own, who does what a page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / ".bin" / "dlmi-bench"  # this interpreter's environment may lack the command
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m dlmi_bench "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        path = os.pathsep.join([str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
        packages = str(folder / "packages")  # what the reader installs leaves this environment as it is
        self.environment = os.environ | {
            "PATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH", ""), packages))),
            "PIP_TARGET": packages,
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # for this option pip takes a false value as yes
            "COLUMNS": "80",
        }

    def follow(self, page: Path, prelude: str | None = None) -> int:
        """Follow a page from its first line to its last; its snippets run as one script, after `prelude`.

        Returns:
            Number of commands and snippets that ran.
        """
        n, snippets = 0, []
        for step in list_steps(page.read_text(encoding="utf-8")):
            if name := step.said.get("write"):
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
            elif "elsewhere" not in step.said and step.language == "console":
                n += self._run_console(step)
            elif prelude is not None and step.language == "python" and not step.said:
                snippets.append(step.text)
        if snippets:
            (self.folder / "snippets.py").write_text("\n".join([prelude or "", *snippets]), encoding="utf-8")
            self.run([sys.executable, "snippets.py"])
        return n + len(snippets)

    def _run_console(self, step: Step) -> int:
        calls = list_calls(step)
        for call in calls:
            if call.words.startswith("cd "):
                self.folder /= call.words[3:]
                continue
            codes = [int(code) for code in step.said.get("exit", "0").split(", ")] if call is calls[-1] else [0]
            printed = self.run(["bash", "-c", call.words], codes)
            if call.shown:
                difference = find_difference(call.shown, printed, varies="varies" in step.said)
                assert not difference, f"$ {call.words}\n{difference}; printed:\n" + "\n".join(printed)
        return len(calls)

    def run(self, words: list[str], codes: Iterable[int] = (0,)) -> list[str]:
        """Run a program in the folder; returns the lines of its standard output."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode in codes, f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.splitlines()
