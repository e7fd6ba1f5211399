"""Examples: short, by the public API alone, the code that the guide shows, and each ends in a report with claims."""

import ast
import importlib.util
import io
import json
import re
import sys
import tokenize
from pathlib import Path

import pytest

from pages import Reader, check_reports

ROOT = Path(__file__).parent.parent
EXAMPLES, GUIDE, TUTORIALS = ROOT / "examples", ROOT / "docs" / "guide", ROOT / "docs" / "tutorials"
SCRIPTS = sorted(EXAMPLES.rglob("*.py"))
PAGES = [*sorted(GUIDE.glob("*.md")), *sorted(TUTORIALS.glob("*.md"))]
NOTEBOOK = EXAMPLES / "notebook.ipynb"
MAX_OWN_LINES = 15
# A block of a page, with the file that it shows where a comment above says so.
BLOCK = re.compile(r"(?:<!-- (\S+) -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="not a checkout")


def count_lines(text: str) -> int:
    """Lines that hold code: neither blank, nor a comment, nor the docstring of the file."""
    docstring = ast.parse(text).body[0]
    skipped = range(docstring.lineno, (docstring.end_lineno or 0) + 1)
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in idle:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - {*skipped})


def list_imports(text: str) -> set[str]:
    """Modules that a file imports."""
    nodes = [*ast.walk(ast.parse(text))]
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return whole | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def list_cells() -> list[str]:
    """Code cells of the notebook."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_example_uses_the_public_api(path: Path) -> None:
    """It imports `dlmi_bench` itself and no module within it, and its name hides no package."""
    imports = list_imports(path.read_text(encoding="utf-8"))
    assert not {name for name in imports if name.startswith("dlmi_") and name != "dlmi_bench"}
    assert path.stem in ("__init__", "study") or path.parent.name == "blobs" or find_other(path.stem) is None


def find_other(name: str) -> object:
    """Find a module of this name that is installed."""
    return importlib.util.find_spec(name)


def test_smallest_example_is_short() -> None:
    """Two nets on real data, to a report, within fifteen lines."""
    assert count_lines((EXAMPLES / "digits.py").read_text(encoding="utf-8")) <= MAX_OWN_LINES


def test_notebook_is_stored_without_outputs() -> None:
    """Its outputs are those of the reader's machine; its cells are Python."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    for source in list_cells():
        ast.parse(source)


def test_guide_shows_the_code_of_the_examples() -> None:
    """Blocks that name a file hold all of it, and every script is on a page."""
    shown = set()
    for page in PAGES:
        for name, _, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if name.startswith("examples/"):
                assert text == (ROOT / name).read_text(encoding="utf-8"), f"{page.name}: {name}"
                shown.add(ROOT / name)
    assert not {path for path in SCRIPTS if path.name != "__init__.py"} - shown


def test_guide_shows_the_cells_of_the_notebook() -> None:
    """The page about notebooks shows cells, each as it is."""
    blocks = BLOCK.findall((TUTORIALS / "notebook.md").read_text(encoding="utf-8"))
    shown = [text.rstrip("\n") for _, language, text in blocks if language == "python"]
    assert shown
    assert not set(shown) - set(list_cells())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_guide_is_in_order(page: Path) -> None:
    """Python is Python, links lead somewhere, and no table is wider than six columns."""
    text = page.read_text(encoding="utf-8")
    for _, language, code in BLOCK.findall(text):
        if language == "python":
            ast.parse(code)
    prose = BLOCK.sub("", text)
    links = re.findall(r"\]\(([^)#:]+)\)", prose)
    assert not [link for link in links if not (page.parent / link).exists()]
    assert not [line for line in prose.splitlines() if line.startswith("|") and line.count("|") > 7]
    assert page.name == "README.md" or f"({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")


EXECUTE = """
import nbclient, nbformat, sys
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.mark.slow
def test_notebook(tmp_path: Path) -> None:
    """Objects that live in a notebook are compared there; progress is one line that was replaced in place."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    Reader(tmp_path).run([sys.executable, "-c", EXECUTE, str(NOTEBOOK)])
    cells = json.loads((tmp_path / "executed.ipynb").read_text(encoding="utf-8"))["cells"]
    (compared,) = (cell for cell in cells if "db.compare(" in "".join(cell["source"]))
    (progress,) = compared["outputs"]
    assert re.search(r"^\d+ done \(\d+ s\)$", "".join(progress["data"]["text/plain"]))
    kinds = {kind for cell in cells for output in cell.get("outputs", ()) for kind in output.get("data", ())}
    assert {"text/html", "image/png"} <= kinds
    check_reports(tmp_path)
