"""The grid, and when what is stored of it no longer holds."""

import ast
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from dlmi_bench.backends import BACKENDS
from dlmi_bench.records import Cell
from dlmi_bench.suite import plan
from dlmi_bench.suite.fingerprint import compute_code_hash, compute_fingerprint
from dlmi_bench.suite.plan import make_steps
from dlmi_bench.suite.suites import SUITES
from dlmi_models import MODELS
from dlmi_tasks import get_task

TRAIN = Cell(kind="train", task="usps", model="mlp-64-32")
LATENCY = Cell(kind="latency", task="usps", model="mlp-64-32")
# What a training imports of `bench` and what decides none of its figures, or is in the fingerprint by value.
NOT_COVERED = {
    "dlmi_bench.errors": "words",
    "dlmi_bench.units": "the same",
    "dlmi_bench.records": "the shape of a record; the seed that it derives is in the fingerprint",
    "dlmi_bench.store": "puts files away by their hash",
    "dlmi_bench.jobs.worker": "carries the job and its answer",
    "dlmi_bench.instruments.latency": "pins the process; nothing else of it runs",
    "dlmi_bench.stats.percentiles": "figures of latency, which a training has none of",
    "dlmi_bench.instruments.roofline": "the same",
    "dlmi_bench.instruments.cuda_clock": "the clock of a device; trainings and answers are not timed by it",
    "dlmi_bench.instruments.onnx_graph": "names the input of the file that is quantized",
    "dlmi_bench.instruments.host.provenance": "versions and machine, which are in the fingerprint",
    "dlmi_bench.backends.needs": "whether a runtime is here, which is compared with what the training was judged on",
}
INPUTS = {"data": {"train_images": "abc"}}


def fingerprint(cell: Cell = TRAIN, **changes: object) -> str:
    suite = SUITES["default"].model_copy(update={k: v for k, v in changes.items() if k not in ("task", "inputs")})
    task = changes.get("task", get_task("usps"))
    return compute_fingerprint(cell, suite, task, changes.get("inputs", INPUTS))  # type: ignore[arg-type]


def test_grid_is_complete_and_trains_first() -> None:
    """Every model is trained with every seed before anything is measured, and measured once per kind."""
    steps = make_steps(SUITES["default"])
    kinds = [step.kind for step in steps]
    n = sum(entry.is_default for entry in MODELS.values())
    assert kinds.count("train") == 5 * n
    assert [len(step.cells) for step in steps if step.kind == "latency"] == [7, n - 7]
    for task in SUITES["default"].tasks:
        own = [step.kind for step in steps if step.task == task]
        assert max(i for i, kind in enumerate(own) if kind == "train") < own.index("counts")
    cells = [cell for step in steps for cell in step.cells]
    assert len({cell.key for cell in cells}) == len(cells) == 5 * n + 4 * n + 1


def test_same_question_same_fingerprint() -> None:
    """Nothing changed, nothing stale; the number of seeds does not concern the single cell."""
    assert fingerprint() == fingerprint(n_seeds=7)


def test_whatever_changes_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, recipe, target, split, seed, versions, code, machine and hash of a seed: each changes the fingerprint."""
    task = get_task("usps")
    recipes = task.recipes | {"mlp-64-32": replace(task.recipes["mlp-64-32"], n_epochs=41)}
    before = fingerprint()
    found = {
        before,
        fingerprint(inputs={"data": {"train_images": "abd"}}),
        fingerprint(task=replace(task, recipes=recipes)),
        fingerprint(task=replace(task, target=replace(task.target, validation_accuracy=0.96))),
        fingerprint(task=replace(task, n_validation=999)),
        fingerprint(Cell(kind="train", task="usps", model="mlp-64-32", seed_index=1)),
    }
    monkeypatch.setattr(plan, "describe_versions", lambda: {"torch": "0.0"})
    found.add(fingerprint())
    monkeypatch.setattr(plan, "compute_code_hash", lambda _: "other code")
    found.add(fingerprint())
    monkeypatch.setattr(plan, "compute_machine_id", lambda: "other machine")
    found.add(fingerprint())
    monkeypatch.setattr(Cell, "seed", 7)
    found.add(fingerprint())
    assert len(found) == 10


def test_settings_concern_only_the_cells_that_use_them() -> None:
    """More latency processes make latency stale, not training."""
    assert fingerprint() == fingerprint(n_processes=9)
    assert fingerprint(LATENCY) != fingerprint(LATENCY, n_processes=9)


def test_code_counts_but_comments_do_not(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed expression is another program; a comment, a docstring or a line break is not."""
    monkeypatch.syspath_prepend(tmp_path)
    texts = [
        "def f(x):\n    return x + 1\n",
        'def f(x):\n    """Why."""\n    # how\n\n    return (x + 1)\n',
        "def f(x):\n    return x + 2\n",
    ]
    for i, text in enumerate(texts):
        (tmp_path / f"variant{i}.py").write_text(text)
    first, second, third = (compute_code_hash([f"variant{i}"]) for i in range(3))
    assert first == second != third


def list_imports(name: str) -> set[str]:
    """Modules of `bench` that a module names in its imports, also in those within functions."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {other for other in found if other.startswith("bench.") and is_module(other)}


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the name of something within a module
        return False


def test_fingerprint_of_a_training_covers_the_code_that_decides_its_figures() -> None:
    """Whatever the job and its runtimes import of `bench` is listed, or is an exception that has a reason."""
    listed = set(plan._list_modules(TRAIN))
    found, todo = set(), ["dlmi_bench.jobs.training", *(entry.module for entry in BACKENDS.values())]
    while todo:
        new = list_imports(todo.pop()) - found
        found |= new
        todo += new - set(NOT_COVERED)
    assert found - listed == set(NOT_COVERED)
