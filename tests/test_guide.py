"""The guide and the README: commands and snippets run as a reader would run them, and print what the page shows."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from dlmi_bench.cli.main import app
from dlmi_tasks.spect.ppmi.writer import write_cohort
from pages import Reader, check_reports, find_difference, list_steps

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
IN_DOCS = [DOCS / "gate.md", *sorted(DOCS.glob("tutorials/*.md")), *sorted(DOCS.glob("guide/*.md"))]
PAGES = [ROOT / "README.md", *IN_DOCS]
# Pages that end in a report.
EXAMPLES = {"digits", "medmnist", "patients", "volumes", "onnx-files", "own-training", "package", "own-data"}

# What a page's snippets take as given: the reader has it.
ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
images, labels = rng.normal(size=(60, 1, 8, 8)).astype("float32"), np.arange(60) % 2
"""
PRELUDES = {
    "README": ARRAYS
    + """
images[:, 0, :4] += labels[:, None, None]
np.savez("images.npz", images=images, labels=labels)
import dlmi_bench as db
suite = db.Suite(n_processes=2, n_rounds=10, energy_window_s=0.2, backends=("onnxruntime",), batches=(1,))
compare = db.compare
db.compare = lambda *args, **settings: compare(*args, **settings | {"seeds": 2}, suite=suite)
""",
    "own-task": ARRAYS
    + """
from pathlib import Path
from PIL import Image
np.savez("mine.npz", images=images, labels=labels)
rows = ["file,diagnosis,patient"]
for i, label in enumerate(labels):
    path = Path("images", "ab"[label], f"{i}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), i, np.uint8)).save(path)
    rows.append(f"{path},{'ab'[label]},{i // 2}")
Path("manifest.csv").write_text("\\n".join(rows))
items = [(image, int(label)) for image, label in zip(images, labels)]
train, test = items[:40], items[40:]
split = ["test" if i % 5 == 0 else "train" for i in range(60)]
patients, hospitals = np.arange(60) // 2, np.where(np.arange(60) < 30, "a", "b")
""",
    "scans": "",
    "judge": "",
    "compare": "import matplotlib\nmatplotlib.use('agg')\n",
}


def find_prelude(page: Path) -> str | None:
    """Find what a page's snippets take as given; None where they are not run."""
    return PRELUDES.get(page.stem) if page == ROOT / "README.md" or page.stem != "README" else None


def has_work(page: Path) -> bool:
    """Whether a page has commands with their output, or snippets."""
    return find_prelude(page) is not None or any(
        step.language == "console" for step in list_steps(page.read_text("utf-8"))
    )


def find_words() -> list[tuple[str, str]]:
    """Find the commands that pages show, in blocks and in lines, with the page."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        shown = re.findall(r"^(?:    |\$ )(?:.+ && )?dlmi-bench (.+)$", text, re.MULTILINE)
        found += [(page.name, re.split(r" {2,}| && | > | #|$", words)[0]) for words in shown]
        found += [(page.name, words) for words in re.findall(r"`dlmi-bench ([^`]+)`", text) if "..." not in words]
    return found


pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="not a checkout")


def test_every_command_on_a_page_is_one() -> None:
    """Names and options that pages use exist, and values have their type."""
    program = typer.main.get_command(app)
    shown = find_words()
    assert len(shown) > 60
    for name, words in shown:
        context = program.make_context("dlmi-bench", shlex.split(re.sub(r"\[[^]]*\]", "", words)))
        while isinstance(context.command, typer.core.TyperGroup):
            _, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
            assert command, f"{name}: {words}"
            if not rest:  # the name alone, in a line
                break
            context = command.make_context(command.name, rest, parent=context)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if has_work(page)], ids=lambda page: page.stem)
def test_page_does_what_it_says(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """From its first line to its last; data that a page has been trained on stay those that it says."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__", "out"))
    if page.stem == "scans":
        visits, templates = map(request.getfixturevalue, ("ppmi_visits", "templates"))
        write_cohort(visits, templates, tmp_path / "ward", layout="hospital", file_format="nifti")
    if page.stem == "ppmi":
        shutil.copytree(request.getfixturevalue("ppmi_original"), tmp_path / "PPMI")
    if page.stem == "digits":
        pytest.importorskip("sklearn")
    assert Reader(tmp_path).follow(page, find_prelude(page))
    assert check_reports(tmp_path) or page.stem not in EXAMPLES


def test_a_page_that_is_wrong_is_found() -> None:
    """Other words, a line too few or too many are differences; other figures and marks of a busy machine are none."""
    shown = ["verdict  latency", "PASS     12.5 [11, 13] us", "...", "2 of 3 done"]
    assert not find_difference(shown, ["verdict   latency", "PASS     noisy 9 [8, 1e3] us", "more", "5 of 9 done"])
    assert "verdict" in find_difference(shown, ["PASS 1 us", "2 of 3 done"])
    assert "PASS" in find_difference(shown, ["verdict latency", "FAIL 1 us", "2 of 3 done"])
    assert "2 of 3" in find_difference(shown, ["verdict latency", "PASS 1 us", "more"])
    assert "extra" in find_difference(shown, ["verdict latency", "PASS 1 us", "2 of 3 done", "extra"])
    assert not find_difference(["REFUTED own-net", "   3 of 4"], ["a", "REFUTED other", "  b"], varies=True)
    assert find_difference(["REFUTED own-net"], ["SUPPORTED own-net"], varies=True)
