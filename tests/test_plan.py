"""The grid, and when what is stored of it no longer holds."""

from dataclasses import replace

import pytest

from bench import plan
from bench.plan import compute_code_hash, compute_fingerprint, make_steps
from bench.records import Cell
from bench.suites import SUITES
from models import MODELS
from tasks import get_task

TRAIN = Cell(kind="train", task="usps", model="mlp-64-32")
LATENCY = Cell(kind="latency", task="usps", model="mlp-64-32")
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
    """Data, recipe, target, split, seed, versions, code and machine each change the fingerprint of a training."""
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
    assert len(found) == 9


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
