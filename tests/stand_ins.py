"""What tests use in place of the world: a clock that does what it is told, the installed command in a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.clock import Clock


class FakeClock(Clock):
    """Wall time, CPU time and context switches that move only when told to."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.busy_ns = 0
        self.switches = 0

    def wall_ns(self) -> int:
        return self.now_ns

    def cpu_ns(self) -> int:
        return self.busy_ns

    def n_switches(self) -> int:
        return self.switches

    def work(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        self.busy_ns += duration_ns

    def wait(self, duration_ns: int) -> None:
        self.now_ns += duration_ns


class Command:
    """The installed command, run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = str(Path(sys.executable).with_name("dlmi-bench"))

    def __call__(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *args],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )

    def json(self, *args: str) -> object:
        done = self(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
