"""A run that is killed again and again loses no cell, and the same command ends what was begun."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dlmi_bench.store import Store
from stand_ins import Command

pytestmark = pytest.mark.slow

N_KILLS = 66
SUITE = """
tasks = ["usps"]
models = ["softmax"]
measures = ["counts", "latency"]
backends = ["onnxruntime"]
n_seeds = 3
n_timed = 1
n_processes = 2
n_rounds = 20
energy_window_s = 0.01
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dlmi_bench", "run", "--suite", "mine.toml", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_storm_of_kills(tmp_path: Path) -> None:
    """66 kills at moments drawn from a seed: every row that was there stays as it was, with whole files."""
    (tmp_path / "mine.toml").write_text(SUITE)
    order, n_killed, before = random.Random(0), 0, []
    arguments: tuple[str, ...] = ()
    while n_killed < N_KILLS:
        process = start(tmp_path, *arguments)
        try:
            assert process.wait(order.uniform(0.3, 9.0)) == 0  # it was quicker, and has to begin again
            arguments = ("--fresh",)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_killed, arguments = n_killed + 1, ()
        if not (tmp_path / "out" / "store.sqlite").exists():
            continue
        store = Store(tmp_path / "out")  # as the next run does, which also sees that no lock is left
        rows = store.rows()
        assert rows[: len(before)] == before
        assert all(store.has_artifacts(a.record) for a in store.current().values() if a.record)
        assert not store.failures()
        store.close()
        before = rows
    command = Command(tmp_path)
    assert command("run", "--suite", "mine.toml").returncode == 0
    assert not [*(tmp_path / "out").rglob("*.part")]
    assert command("report", "--format", "csv").returncode == 0
    print(f"{N_KILLS} kills, {len(before)} rows, 0 lost")  # noqa: T201 - for the closing line of the slow session
