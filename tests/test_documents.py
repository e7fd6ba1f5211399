"""What the documents name exists."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from dlmi_reports.front.methods import METHODS

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"\bdlmi_(?:bench|models|tasks|reports)(?:\.[A-Za-z_]\w*)+")
PATH = re.compile(r"`((?:bench|models|tasks|reports|tests|docs)/[\w/.]+)`")
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/method/*.md"), *ROOT.glob("*/README.md")]


def find(name: str) -> bool:
    """Whether a module, or a name within one, is there."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            spec = find_spec(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        if spec:
            return n == len(parts) or hasattr(import_module(".".join(parts[:n])), parts[n])
    return False


@pytest.mark.skipif(not DOCUMENTS, reason="not a checkout")
def test_names_in_documents_are_there() -> None:
    """Modules, functions and paths that documents name; the changelog speaks of the past."""
    texts = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name != "CHANGELOG.md"}
    names = {name for text in texts.values() for name in NAME.findall(text)}
    paths = {path for text in texts.values() for path in PATH.findall(text)}
    assert len(names) > 5
    assert not sorted(name for name in names if not find(name))
    assert not sorted(path for path in paths if not (ROOT / path).exists())


@pytest.mark.skipif(not DOCUMENTS, reason="not a checkout")
@pytest.mark.parametrize("name", METHODS)
def test_reports_explain_figures_as_the_method_does(name: str) -> None:
    """The paragraph that opens in a report is the first one of the method's page."""
    first = (ROOT / "docs" / "method" / f"{name}.md").read_text(encoding="utf-8").split("\n\n")[1]
    assert " ".join(first.split()) == METHODS[name]
