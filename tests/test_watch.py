"""The watch over code of the user's: what is opened, loaded, looked up or started is listed, and nothing else."""

import ctypes
import importlib
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.jobs.watch import MAX_LISTED, allow, pause, watch
from dlmi_tasks import get_task


def open_array(path: Path) -> None:
    np.load(path)


def open_natively(path: Path) -> None:
    from safetensors import safe_open

    with suppress(Exception), safe_open(path, framework="np"):
        pass


def look_up(_: Path) -> None:
    with suppress(OSError):
        socket.getaddrinfo("nowhere.invalid", 80)


WAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "array": (open_array, "opened {}"),
    "mapped": (lambda path: np.load(path, mmap_mode="r"), "opened {}"),
    "descriptor": (lambda path: os.close(os.open(path, os.O_RDONLY)), "opened {}"),
    "written": (lambda path: path.with_name("new").write_text("x"), "opened {}/new"),
    "natively": (open_natively, "opened {}"),
    "database": (lambda path: sqlite3.connect(path.with_name("new.db")).close(), "opened"),
    "name": (look_up, "looked up nowhere.invalid"),
    "process": (lambda _: subprocess.run([sys.executable, "-c", ""], check=True), "started"),
    "shell": (lambda _: os.system("true"), "started"),  # noqa: S605, S607
    "libraries": (lambda _: ctypes.CDLL(None), "loaded this process"),
    "task": (lambda _: get_task("usps"), "asked for the task usps"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_leaves_the_code_is_listed(way: str, tmp_path: Path) -> None:
    """Each way by its words; the same outside of a watch is not."""
    path = tmp_path / "weights.npy"
    np.save(path, np.zeros(3))
    act, words = WAYS[way]
    act(path)
    with watch() as listed:
        act(path)
    wanted = words.format(path if "/new" not in words else tmp_path.resolve())
    assert any(line.startswith(wanted) for line in listed), listed
    with watch() as later:
        pass
    assert later == []


def test_link_is_listed_by_what_it_leads_to(tmp_path: Path) -> None:
    """A link that looks like code leads to data."""
    np.save(tmp_path / "weights.npy", np.zeros(3))
    (tmp_path / "net.py").symlink_to(tmp_path / "weights.npy")
    with watch((tmp_path / "other.py",)) as listed, (tmp_path / "net.py").open("rb"):
        pass
    assert listed == [f"opened {(tmp_path / 'weights.npy').resolve()}"]


def test_code_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own source with what Python compiles of it, a module of the library, what the system says."""
    (tmp_path / "netz.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with watch((tmp_path / "netz.py",)) as listed:
        importlib.import_module("netz")
        importlib.reload(importlib.import_module("wave"))
        Path("/proc/self/status").read_text()
    assert listed == []
    assert list((tmp_path / "__pycache__").iterdir())
    sys.modules.pop("netz")


def test_search_path_that_leads_nowhere_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python opens what is not there as an archive; a file on the search path is one, and may hold anything."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "gone"), str(tmp_path / "there.zip")])
    (tmp_path / "there.zip").write_bytes(b"x")
    with watch() as listed:
        for name in ("gone", "there.zip"):
            with suppress(OSError):
                (tmp_path / name).open("rb").close()
    assert listed == [f"opened {(tmp_path / 'there.zip').resolve()}"]


def test_code_of_others_is_listed(tmp_path: Path) -> None:
    """A Python file that the model's source does not import may hold anything; so may the source if it is written."""
    for name in ("net.py", "data.py"):
        (tmp_path / name).write_text("x = 1\n")
    with watch((tmp_path / "net.py",)) as listed:
        (tmp_path / "net.py").read_text()
        (tmp_path / "data.py").read_text()
    assert listed == [f"opened {(tmp_path / 'data.py').resolve()}"]


def test_folders_of_ours_and_pauses_are_left_out(tmp_path: Path) -> None:
    """Only while the watch lasts that allowed them."""
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text("x")
    with watch() as listed:
        allow(str(tmp_path / "ours"))
        (tmp_path / "ours" / "a").read_text()
        with pause():
            (tmp_path / "theirs" / "a").read_text()
        assert not listed
        (tmp_path / "theirs" / "a").read_text()
    assert listed == [f"opened {(tmp_path / 'theirs' / 'a').resolve()}"]
    with watch() as later:
        (tmp_path / "ours" / "a").read_text()
    assert len(later) == 1


def test_list_is_short_and_an_error_passes(tmp_path: Path) -> None:
    """At most so many entries; what the code raises comes out, with the list filled."""

    kept: list[list[str]] = []

    def open_many() -> None:
        with watch() as listed:
            kept.append(listed)
            fail()

    def fail() -> None:
        for index in range(100):
            (tmp_path / str(index)).write_text("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_many()
    assert len(kept[0]) == MAX_LISTED
