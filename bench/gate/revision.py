"""Another commit of this project, made runnable beside this one."""

import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.errors import BenchError
from bench.executors import Software

ROOT = Path(__file__).parent.parent.parent
CONSTRAINTS = "constraints.txt"


class RevisionError(BenchError):
    """The revision cannot be checked out or installed."""


@contextmanager
def open_revision(revision: str, root: Path = ROOT) -> Iterator[Software]:
    """A worktree of `revision`, with this interpreter where both want the same versions, else with one of its own.

    Raises:
        RevisionError: not a checkout, no such revision, or its versions cannot be installed.
    """
    with TemporaryDirectory() as scratch:
        checkout = Path(scratch) / "checkout"
        _run(["git", "-C", str(root), "worktree", "add", "--detach", str(checkout), revision], f"revision {revision!r}")
        try:
            yield Software(checkout, _find_python(checkout, Path(scratch) / "venv", root))
        finally:
            _run(["git", "-C", str(root), "worktree", "remove", "--force", str(checkout)], "removing the worktree")


def _find_python(checkout: Path, folder: Path, root: Path) -> Path:
    files = (checkout / CONSTRAINTS, root / CONSTRAINTS)
    versions = [file.read_text() if file.is_file() else "" for file in files]
    if versions[0] == versions[1]:
        return Path(sys.executable)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(checkout / CONSTRAINTS), str(checkout)]
    _run(install, "installing the versions of the revision")
    return python


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RevisionError(f"{what}: {last}", "name a commit that `git rev-parse` knows, from within the checkout")
