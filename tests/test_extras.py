"""Extras: the list of modules is that of pyproject.toml, and what the core imports is in its dependencies."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from dlmi_bench.errors import UnavailableError, choose_remedy, require
from dlmi_bench.extras import EXTRAS, describe_missing, find_missing

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "pyproject.toml"
OWN = ("dlmi_bench", "dlmi_models", "dlmi_tasks", "dlmi_reports")
# Imported where it is there only: by notebooks, by the tools of the self-test, by users' tests, with another package,
# and by images for microcontrollers, whose extra no environment of the tests has.
ELSEWHERE = {"IPython", "pyperf", "pytorch_benchmark", "pytest", "pytest_benchmark", "google", "ptflops"}
ELSEWHERE |= {"elftools", "unicorn"}


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_names(requirements: list[str]) -> set[str]:
    return {_normalise(re.split(r"[<>=\[]", word)[0]) for word in requirements}


@pytest.mark.skipif(not PROJECT.is_file(), reason="a wheel has no pyproject.toml")
def test_extras_are_those_of_the_project() -> None:
    """Each module belongs to a package that its extra installs, and each package has a module that is looked for."""
    stated, owners = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"], packages_distributions()
    for extra, modules in EXTRAS.items():
        known = {_normalise(name) for module in modules for name in owners[module]}
        assert known == _read_names(stated[extra]) - {"dlmi-bench"}


@pytest.mark.skipif(not PROJECT.is_file(), reason="a wheel has no pyproject.toml")
def test_every_import_is_declared() -> None:
    """A library that came with another one would vanish with it: nvidia-ml-py did, with CodeCarbon."""
    core = _read_names(tomllib.loads(PROJECT.read_text())["project"]["dependencies"])
    extra, owners = {module for modules in EXTRAS.values() for module in modules}, packages_distributions()
    for path in (path for name in OWN for path in ROOT.glob(f"*/{name}/**/*.py")):
        for module in _list_imports(path) - set(sys.stdlib_module_names) - set(OWN) - extra - ELSEWHERE:
            assert {_normalise(name) for name in owners.get(module, [])} & core, f"{path}: {module}"


def _list_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_what_is_missing_says_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert find_missing("openvino") == "no package openvino; install dlmi-bench[openvino]"
    with pytest.raises(UnavailableError, match=r"it: no package openvino\n  remedy: install dlmi-bench\[openvino\]"):
        require("openvino", "it")


def test_an_import_that_fails_has_the_remedy_of_its_extra() -> None:
    """Also one of a module inside the package; others have none."""
    assert choose_remedy(ModuleNotFoundError("", name="torch.nn")) == "install dlmi-bench[torch]"
    assert describe_missing("antigravity") == ""
