"""Check out and run another commit of this project next to this one."""

import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import JsonValue

from dlmi_bench.errors import BenchError
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.jobs.worker import Software

ROOT = Path(__file__).parents[4]
CONSTRAINTS = "constraints.txt"
NAME_PYTHON = "name an interpreter that has the dependencies of that commit: --against-python PATH"
# Runs in the other interpreter and checkout.
ASK_VERSIONS = "import json; from {} import describe_versions as f; print(json.dumps(f()))"


class RevisionError(BenchError):
    """The revision cannot be checked out or installed."""


@dataclass(frozen=True)
class Revision:
    """Checked-out commit that can be run, and its versions."""

    name: str
    commit: str
    software: Software
    versions: dict[str, str]

    def describe(self) -> dict[str, JsonValue]:
        return {"revision": self.name, "commit": self.commit, "versions": dict(self.versions)}

    def list_changes(self, versions: Mapping[str, str]) -> tuple[str, ...]:
        """List packages whose version differs from `versions`, that of the commit first."""
        names = sorted({*self.versions, *versions})
        pairs = [(name, self.versions.get(name, "none"), versions.get(name, "none")) for name in names]
        return tuple(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)


@contextmanager
def open_revision(
    revision: str, python: Path | None = None, root: Path = ROOT, on_progress: OnProgress = lambda *_: None
) -> Iterator[Revision]:
    """Open a worktree of `revision`. It shares this interpreter if both need the same versions, else it gets its own.

    Args:
        python: Interpreter to run it with; nothing is installed then.

    Raises:
        RevisionError: no checkout, no such revision, or its versions cannot be installed.
    """
    with TemporaryDirectory() as scratch:
        checkout = Path(scratch) / "checkout"
        _run(["git", "-C", str(root), "worktree", "add", "--detach", str(checkout), revision], f"revision {revision!r}")
        try:
            software = Software(checkout, python or _find_python(checkout, Path(scratch) / "venv", root, on_progress))
            commit = _run(["git", "-C", str(checkout), "rev-parse", "HEAD"], "its commit").strip()
            yield Revision(revision, commit, software, _ask_versions(software))
        finally:
            _run(["git", "-C", str(root), "worktree", "remove", "--force", str(checkout)], "removing the worktree")


def _find_python(checkout: Path, folder: Path, root: Path, on_progress: OnProgress) -> Path:
    if _read_dependencies(checkout) == _read_dependencies(root):
        return Path(sys.executable)
    on_progress("installing the versions of the other commit, which takes minutes", 0.0)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    limits = ["-c", str(checkout / CONSTRAINTS)] if (checkout / CONSTRAINTS).is_file() else []
    install = [str(python), "-P", "-m", "pip", "install", "--quiet", *limits, str(checkout)]
    environment = os.environ | {"PIP_USER": "0"}  # a virtual environment takes nothing else
    _run(install, "installing the versions of the revision", environment=environment, remedy=NAME_PYTHON)
    return python


def _read_dependencies(checkout: Path) -> tuple[str, object]:
    """Read exact versions and declared dependencies: checkouts that agree in both share an environment."""
    constraints, project = checkout / CONSTRAINTS, checkout / "pyproject.toml"
    declared = tomllib.loads(project.read_text(encoding="utf-8")) if project.is_file() else {}
    text = constraints.read_text(encoding="utf-8") if constraints.is_file() else ""
    return text, declared.get("project", {}).get("dependencies")


def _ask_versions(software: Software) -> dict[str, str]:
    environment = os.environ | {"PYTHONPATH": software.source_roots}
    ask = [
        str(software.python),
        "-P",
        "-c",
        ASK_VERSIONS.format(software.find_name("dlmi_bench.instruments.host.provenance")),
    ]
    answer = _run(ask, f"{software.python}", software.checkout, environment, remedy=NAME_PYTHON)
    versions: dict[str, str] = json.loads(answer)
    return versions


def _run(
    command: list[str],
    what: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    remedy: str = "name a commit that `git rev-parse` knows, from within the checkout",
) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    except OSError as error:
        raise RevisionError(f"{what}: {error}", NAME_PYTHON) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RevisionError(f"{what}: {last}", remedy)
    return done.stdout
