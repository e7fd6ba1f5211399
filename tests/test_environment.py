"""What a measurement was taken on, and what else the machine was doing."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from dlmi_bench.instruments.host.activity import (
    CpuTimes,
    CpuUse,
    CpuWatch,
    Load,
    compute_cpu_use,
    read_cpu_times,
    read_load,
    read_own_time,
)
from dlmi_bench.instruments.host.provenance import (
    _ask,
    compute_machine_id,
    describe_commit,
    describe_environment,
    describe_versions,
)
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.records import Cell, Record
from dlmi_bench.store import Store
from dlmi_bench.suite.display import RunDisplay
from dlmi_bench.suite.measures import MEASURES, SuiteContext
from dlmi_bench.suite.runner import Runner
from dlmi_bench.suite.suites import Suite
from stand_ins import plant


def test_description_is_complete() -> None:
    """Machine, settings, versions, commit and date are there; the fingerprint does not change between calls."""
    described = describe_environment()
    assert described["machine"]["n_cpus"] >= 1  # type: ignore[index,call-overload,operator]
    assert {"python", "torch", "onnxruntime", "codecarbon"} <= set(described["versions"])  # type: ignore[arg-type]
    assert described["machine_id"] == compute_machine_id()
    settings, absent = described["settings"], described["absent"]
    assert {name for name, value in settings.items() if value is None} == set(absent)  # type: ignore[union-attr,arg-type]


def test_recorded_versions_do_not_make_results_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiler and scipy stand in the record; what a fingerprint covers holds neither."""
    compiler = plant(tmp_path, {"c++": "#!/bin/sh\necho sea++ 1.2\n"}) / "c++"
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    recorded = describe_environment()["versions"]
    assert recorded["C++ compiler"] == "sea++ 1.2"  # type: ignore[index,call-overload]
    assert {"scipy", "C++ compiler"} <= set(recorded) - set(describe_versions())  # type: ignore[arg-type]
    assert describe_versions().items() <= recorded.items()  # type: ignore[union-attr]


def test_commit_is_that_of_the_checkout_alone(tmp_path: Path) -> None:
    """A repository has one; what is installed somewhere below it has none, for that commit is somebody else's."""
    checkout = tmp_path / "theirs"
    installed = plant(checkout / ".venv" / "site-packages", {"ours.py": ""})
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init"], ["commit", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    assert describe_commit(installed) == describe_commit(tmp_path) == ""
    assert re.fullmatch("[0-9a-f]{12}", describe_commit(checkout))


def test_asking_for_the_commit_leaves_the_index_alone(tmp_path: Path) -> None:
    """A file whose time changed would let `git describe --dirty` lock and rewrite the index; changes are still seen."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "a").write_text("a")
    for words in (["init"], ["add", "a"], ["commit", "-m", "a"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    index = tmp_path / ".git" / "index"
    os.utime(tmp_path / "a", (1, 1))
    before = index.read_bytes()
    commit = describe_commit(tmp_path)
    assert not commit.endswith("-dirty")
    assert index.read_bytes() == before
    (tmp_path / "a").write_text("b")
    _ask.cache_clear()
    assert describe_commit(tmp_path) == f"{commit}-dirty"


def test_load_of_a_made_up_machine(tmp_path: Path) -> None:
    """12.50 % pressure reads 0.125, and stolen ticks read as seconds."""
    files = {
        "proc/pressure/cpu": "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00\n",
        "proc/loadavg": "1.50 1.03 1.03 3/109 5875\n",
        "proc/stat": "cpu  1000 0 500 8000 200 0 100 200 7 7\ncpu0 1 1\n",
    }
    assert read_load(plant(tmp_path, files)) == Load(cpu_pressure=0.125, load_1m=1.5, steal_s=2.0)
    assert read_cpu_times(tmp_path) == CpuTimes(total_s=100.0, idle_s=82.0, steal_s=2.0, n_cpus=1)


def test_load_stands_before_and_after_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record holds the machine as it was when the work began, and as the work left it."""
    root = plant(tmp_path / "root", {"proc/loadavg": "1.50 0 0 3/109 5875\n"})
    monkeypatch.setattr("dlmi_bench.suite.runner.read_load", partial(read_load, root))

    def work(_: SuiteContext, cells: list[Cell], __: OnProgress) -> list[Record]:
        plant(root, {"proc/loadavg": "2.50 0 0 3/109 5875\n"})
        return [Record(cell=cell, figures=()) for cell in cells]

    monkeypatch.setitem(MEASURES, "train", replace(MEASURES["train"], run=work))
    suite = Suite(tasks=("usps",), models=("softmax",), measures=(), n_seeds=1)
    store = Store(tmp_path / "store")
    assert Runner(suite, store).run(RunDisplay(Console(quiet=True))).n_done == 1
    (attempt,) = store.current().values()
    assert attempt.record is not None
    found = [attempt.record.provenance[f"load_{when}"] for when in ("before", "after")]
    assert found == [{"cpu_pressure": None, "load_1m": load, "steal_s": None} for load in (1.5, 2.5)]


def test_silent_kernel_is_unknown(tmp_path: Path) -> None:
    """A kernel without the files reads None, not 0."""
    assert read_load(tmp_path) == Load(None, None, None)
    assert CpuWatch(tmp_path).read() is None


def test_cpus_in_use_between_two_looks(tmp_path: Path) -> None:
    """Four CPUs for 5 s, 12 s of them idle: of 8 s in use 5 s are ours, one CPU; 3 s are the neighbours', 0.6 CPUs."""
    plant(tmp_path, {"proc/stat": "cpu  1000 0 0 8000 0 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nintr 7\n"})
    times_s = iter((40.0, 45.0))
    watch = CpuWatch(tmp_path, lambda: next(times_s))
    plant(tmp_path, {"proc/stat": "cpu  1800 0 0 9200 0 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nintr 7\n"})
    use = watch.read()
    assert use == CpuUse(own=pytest.approx(1.0), others=pytest.approx(0.6))
    assert use.others_share == pytest.approx(3 / 8)


def test_no_time_between_two_looks_is_unknown() -> None:
    """Neither 0 nor a division by it; and what is counted in ticks may give us more than all that was used."""
    times = CpuTimes(100.0, 50.0, 2.0, n_cpus=2)
    assert compute_cpu_use(times, times, 0.0) is None
    assert compute_cpu_use(times, CpuTimes(102.0, 51.0, 2.0, n_cpus=2), 1.01) == CpuUse(1.01, 0.0)


def test_own_time_includes_children() -> None:
    """What a child works is ours while it lives and after it has ended."""
    program = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    begin_s = read_own_time()
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert read_own_time() - begin_s > 0.15
        child.communicate(b"\n")
    assert read_own_time() - begin_s > 0.15
