"""Examples: short, by the public API alone, the code that the guide shows, and each ends in a report with claims."""

import ast
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES, GUIDE = ROOT / "examples", ROOT / "docs" / "guide"
SCRIPTS = sorted(EXAMPLES.rglob("*.py"))
PAGES = sorted(GUIDE.glob("*.md"))
NOTEBOOK = EXAMPLES / "notebook.ipynb"
MAX_OWN_LINES = 15
# A block of a page, with the file that it shows where a comment above says so.
BLOCK = re.compile(r"(?:<!-- (\S+) -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)
JUDGED = (0, 10, 11, 12)  # exit codes of `claims`, by verdict

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
            if name:
                assert text == (ROOT / name).read_text(encoding="utf-8"), f"{page.name}: {name}"
                shown.add(ROOT / name)
    assert not {path for path in SCRIPTS if path.name != "__init__.py"} - shown


def test_guide_shows_the_cells_of_the_notebook() -> None:
    """The page about notebooks shows cells, each as it is."""
    blocks = BLOCK.findall((GUIDE / "notebook.md").read_text(encoding="utf-8"))
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
    assert page.name == "README.md" or f"({page.name})" in (GUIDE / "README.md").read_text(encoding="utf-8")


class Reader:
    """Runs examples in a folder of their own, as a reader of the guide would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def bench(self, *arguments: str) -> str:
        """Run `dlmi-bench`."""
        return self("-P", "-m", "dlmi_bench", *arguments)

    def check(self, out: str, *, is_synthetic: bool) -> None:
        """Check that there is a report, that a claim was judged, and what the data are called."""
        page = (self.folder / out / "report" / "report.html").read_text(encoding="utf-8")
        assert ("synthetic data" in page.lower()) == is_synthetic
        command = [sys.executable, "-P", "-m", "dlmi_bench", "claims", "--out", out, "--json"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode in JUDGED, done.stderr
        verdicts = [verdict["verdict"] for verdict in json.loads(done.stdout)["claims"]]
        assert {*verdicts} - {"NOT MEASURED"}, verdicts


@pytest.fixture
def reader(tmp_path: Path) -> Any:
    before = {path for path in EXAMPLES.rglob("*") if "__pycache__" not in path.parts}
    yield Reader(tmp_path)
    assert {path for path in EXAMPLES.rglob("*") if "__pycache__" not in path.parts} == before


@pytest.mark.slow
def test_digits(reader: Reader) -> None:
    """Real data of a package; the table is printed."""
    pytest.importorskip("sklearn")
    assert "digits:" in reader(str(EXAMPLES / "digits.py"))
    reader.check("out/digits", is_synthetic=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "out"),
    [
        ("medmnist_npz", "out/medmnist"),
        ("patients", "out/patients"),
        ("volumes", "out/volumes"),
    ],
)
def test_script(reader: Reader, script: str, out: str) -> None:
    """Data in files or in memory, by one script."""
    assert "test %" in reader(str(EXAMPLES / f"{script}.py"))
    reader.check(out, is_synthetic=True)


@pytest.mark.slow
def test_onnx_files(reader: Reader) -> None:
    """Files that plain torch exported get a row each."""
    reader(str(EXAMPLES / "export_onnx.py"))
    text = reader(str(EXAMPLES / "onnx_files.py"))
    assert all(f"width-{width} " in text for width in (2, 4, 8, 16, 32))
    reader.check("out/onnx", is_synthetic=True)


@pytest.mark.slow
def test_own_training(reader: Reader) -> None:
    """A study file with a training loop of one's own, by the command line."""
    out = "out/own_training"
    reader.bench("run", str(EXAMPLES / "own_training" / "study.py"), "--report", "--out", out)
    reader.check(out, is_synthetic=True)


@pytest.mark.slow
def test_package(reader: Reader) -> None:
    """A package that is installed offers a model and a task by name."""
    packages = str(reader.folder / "packages")
    options = ("--no-deps", "--no-build-isolation", "--target", packages)
    reader("-m", "pip", "install", "-q", *options, str(EXAMPLES / "package"))
    path = (os.environ.get("PYTHONPATH", ""), packages)
    reader.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    assert "blob-cnn" in reader.bench("list", "models")
    suite = str(EXAMPLES / "package" / "suite.toml")
    models = ("--model", "blob-cnn", "--model", "softmax")
    reader.bench("run", "--suite", suite, "--task", "blobs", *models, "--report", "--out", "out/package")
    claims = str(EXAMPLES / "package" / "claims.toml")
    (reader.folder / "out" / "package" / "claims.toml").write_bytes(Path(claims).read_bytes())
    reader.check("out/package", is_synthetic=True)


EXECUTE = """
import nbclient, nbformat, sys
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.mark.slow
def test_notebook(reader: Reader) -> None:
    """Objects that live in a notebook are compared there; progress is one line that was replaced in place."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    reader("-c", EXECUTE, str(NOTEBOOK))
    cells = json.loads((reader.folder / "executed.ipynb").read_text(encoding="utf-8"))["cells"]
    (compared,) = (cell for cell in cells if "db.compare(" in "".join(cell["source"]))
    (progress,) = compared["outputs"]
    assert re.search(r"^\d+ done \(\d+ s\)$", "".join(progress["data"]["text/plain"]))
    kinds = {kind for cell in cells for output in cell.get("outputs", ()) for kind in output.get("data", ())}
    assert {"text/html", "image/png"} <= kinds
    reader.check("out/notebook", is_synthetic=True)
