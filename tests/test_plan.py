"""The grid, and when what is stored of it no longer holds."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import dlmi_bench
import dlmi_models
import dlmi_tasks
from dlmi_bench.backends import BACKENDS
from dlmi_bench.closure import hash_code, list_closure
from dlmi_bench.errors import UsageError
from dlmi_bench.firmware import image
from dlmi_bench.records import Cell
from dlmi_bench.suite import fingerprint as staleness
from dlmi_bench.suite import plan
from dlmi_bench.suite.fingerprint import LEFT_OUT, compute_fingerprint
from dlmi_bench.suite.measures import MEASURES
from dlmi_bench.suite.plan import make_steps, needs_training, select_shard
from dlmi_bench.suite.suites import SUITES, Suite, override
from dlmi_tasks import get_task

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
    ns = [len(get_task(name).default_models) for name in SUITES["default"].tasks]
    n = sum(ns)
    assert kinds.count("train") == 5 * n
    assert [len(step.cells) for step in steps if step.kind == "latency"] == ns
    for task in SUITES["default"].tasks:
        own = [step.kind for step in steps if step.task == task]
        assert max(i for i, kind in enumerate(own) if kind == "train") < own.index("counts")
    cells = [cell for step in steps for cell in step.cells]
    assert len({cell.key for cell in cells}) == len(cells) == 5 * n + 4 * n + 1 + 4  # full-size ones, counted


def test_timed_trainings_take_turns_and_later_ones_are_one_step() -> None:
    """Seed by seed over the models, so that drift cancels; a fold belongs to its seed; what follows runs at once."""
    suite = Suite(tasks=("usps",), models=("softmax", "mlp-24-16"), measures=(), n_seeds=4, n_timed=2)
    *timed, batch = make_steps(suite)
    turns = [("softmax", 0), ("mlp-24-16", 0), ("softmax", 1), ("mlp-24-16", 1)]
    assert [(cell.model, cell.seed_index) for step in timed for cell in step.cells] == turns
    assert [(cell.model, cell.seed_index - 2) for cell in batch.cells] == turns
    assert ([step.is_timed for step in timed], batch.is_timed) == ([True] * 4, False)
    assert batch.title == "4 more trainings, side by side"
    assert all(step.is_timed for step in make_steps(suite.model_copy(update={"n_timed": 4})))


def test_folds_of_a_timed_seed_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two seeds with three folds each, the first three trainings are timed if one seed is."""
    monkeypatch.setattr(plan, "get_task", lambda name: replace(get_task(name), n_folds=3))
    suite = Suite(tasks=("usps",), models=("softmax",), measures=(), n_seeds=2, n_timed=1)
    *timed, batch = make_steps(suite)
    assert [cell.seed_index for step in timed for cell in step.cells] == [0, 1, 2]
    assert [cell.seed_index for cell in batch.cells] == [3, 4, 5]


def test_shares_of_trainings_at_once_are_even() -> None:
    """Each training of the batch is in one share, and says how many there are in it."""
    suite = Suite(tasks=("usps",), models=("softmax",), measures=(), n_seeds=9, n_timed=2)
    shares = [select_shard(make_steps(suite), index, 2) for index in (1, 2)]
    assert [sum(len(step.cells) for step in share) for share in shares] == [5, 4]
    assert [share[-1].title for share in shares] == ["4 more trainings, side by side", "3 more trainings, side by side"]
    indices = [c.seed_index for share in shares for step in share for c in step.cells if c.kind == "train"]
    assert sorted(indices) == list(range(9))


def test_images_are_made_again_once_their_tools_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages, their versions and the texts of an image decide it; no other cell asks for them."""
    found, cell = set(), Cell(kind="firmware", task="usps", model="mlp-64-32")
    for is_there in (False, True):
        monkeypatch.setattr(image, "is_installed", lambda _, is_there=is_there: is_there)
        found.add((fingerprint(cell), fingerprint(LATENCY)))
    monkeypatch.setattr(image, "describe_package", lambda name: f"{name} 99")
    found.add((fingerprint(cell), fingerprint(LATENCY)))
    assert [len(set(each)) for each in zip(*found, strict=True)] == [3, 1]


def test_training_beside_others_has_a_fingerprint_of_its_own() -> None:
    """No setting of the meter concerns it."""
    task, suites = get_task("usps"), [Suite(), Suite(energy_window_s=9.0)]
    beside = [compute_fingerprint(TRAIN, suite, task, dict(INPUTS), is_timed=False) for suite in suites]
    assert beside[0] == beside[1]
    assert len({beside[0], fingerprint(), fingerprint(energy_window_s=9.0)}) == 3


def test_counted_models_are_counted_where_their_images_are() -> None:
    """Full-size networks on whole slices: neither on digits nor on arms, and not twice where they are trained."""
    suite = Suite(tasks=("usps", "spect", "spect+none-crop"), measures=("counts",), n_seeds=1, counted=("vgg16-full",))
    cell = Cell(kind="counts", task="spect", model="vgg16-full")
    found = [c for step in make_steps(suite) for c in step.cells if c.model == "vgg16-full"]
    assert found == [cell]
    assert (needs_training(cell, suite), needs_training(LATENCY, suite)) == (False, True)
    trained = suite.model_copy(update={"models": ("vgg16-full",)})
    assert needs_training(cell, trained)
    assert override(suite, models=["vgg16-c"]).counted == ()


def test_measure_that_there_is_not_is_refused() -> None:
    """Imported figures are cells that no suite can make: asked for, they are an error and not left out in silence."""
    with pytest.raises(UsageError, match="measures: no 'imported'"):
        make_steps(SUITES["smoke"].model_copy(update={"measures": ("counts", "imported")}))


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
        fingerprint(task=replace(task, class_names=task.class_names[:9])),
        fingerprint(Cell(kind="train", task="usps", model="mlp-64-32", seed_index=1)),
    }
    monkeypatch.setattr(staleness, "describe_versions", lambda: {"torch": "0.0"})
    found.add(fingerprint())
    monkeypatch.setattr(staleness, "hash_code", lambda _: "other code")
    found.add(fingerprint())
    monkeypatch.setattr(staleness, "compute_machine_id", lambda: "other machine")
    found.add(fingerprint())
    monkeypatch.setattr(Cell, "seed", 7)
    found.add(fingerprint())
    assert len(found) == 11


def test_settings_concern_only_the_cells_that_use_them() -> None:
    """More latency processes make latency stale, not training."""
    assert fingerprint() == fingerprint(n_processes=9)
    assert fingerprint(LATENCY) != fingerprint(LATENCY, n_processes=9)


def test_code_counts_but_comments_do_not(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed expression is another program; a comment, a docstring, a line break or a moved import is not."""
    monkeypatch.syspath_prepend(tmp_path)
    texts = [
        "from dlmi_bench.old import g\ndef f(x):\n    return g(x) + 1\n",
        'from dlmi_bench.new import g\ndef f(x):\n    """Why."""\n    # how\n\n    return (g(x) + 1)\n',
        "from dlmi_bench.old import g\ndef f(x):\n    return g(x) + 2\n",
        "from elsewhere import g\ndef f(x):\n    return g(x) + 1\n",
    ]
    for i, text in enumerate(texts):
        (tmp_path / f"variant{i}.py").write_text(text)
    first, second, third, fourth = (hash_code([f"variant{i}"]) for i in range(4))
    assert first == second
    assert len({first, third, fourth}) == 3


HASHES = """
from dlmi_bench.closure import hash_code
from dlmi_bench.errors import UsageError
from dlmi_bench.records import Cell
from dlmi_bench.suite.fingerprint import list_modules
from dlmi_bench.suite.measures import MEASURES
for kind in MEASURES:
    print(kind, hash_code(list_modules(Cell(kind=kind, task="spect", model="vgg16-c"))))
import sys
assert "torch" not in sys.modules
"""


def hash_cells(roots: list[Path]) -> dict[str, str]:
    """Hash of the code behind each kind of cell, as a process with these source roots computes it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, roots))}
    done = subprocess.run([sys.executable, "-c", HASHES], env=environment, capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


CHANGES = {
    ("dlmi_bench/backends/__init__.py", "CudaClock() if self.is_cuda else HostClock()", "HostClock()"): {
        *("train", "memory", "latency", "energy"),
    },
    ("dlmi_bench/backends/__init__.py", "np.arange(n + -n % size) % n", "np.arange(n + n % size) % n"): {
        *("train", "memory", "latency", "energy"),
    },
    ("dlmi_bench/backends/__init__.py", 'options={"precision": "bfloat16"}', 'options={"precision": "float16"}'): {
        *("train", "memory", "latency", "energy"),
    },
    ("dlmi_bench/backends/eager.py", "get_num_interop_threads() != 1", "get_num_interop_threads() != 2"): {
        *("train", "memory", "latency", "energy"),
    },
    ("dlmi_bench/suite/display.py", "class ", "class Other:\n    pass\n\n\nclass "): set(),
    ("dlmi_bench/errors.py", "class ", "class Other:\n    pass\n\n\nclass "): set(),
    ("dlmi_bench/instruments/memory.py", "VmHWM", "VmRSS"): {"memory", "latency", "energy"},
}


@pytest.mark.parametrize(("change", "stale"), CHANGES.items())
def test_changed_code_makes_stale_what_it_decides(change, stale: set[str], tmp_path: Path) -> None:
    """A clock, a runtime or an instrument that changes concerns the cells that run it; the display concerns none."""
    file, old, new = change
    bench = Path(dlmi_bench.__path__[0]).parent
    shutil.copytree(bench / "dlmi_bench", tmp_path / "dlmi_bench", ignore=shutil.ignore_patterns("__pycache__"))
    others = [Path(package.__path__[0]).parent for package in (dlmi_models, dlmi_tasks)]
    before = hash_cells([tmp_path, *others])
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    after = hash_cells([tmp_path, *others])
    assert {kind for kind in before if before[kind] != after[kind]} == stale


def test_every_exception_is_needed() -> None:
    """A module that is left out is one that some cell would reach."""
    runtimes = [entry.module for entry in BACKENDS.values()]
    reached = {name for measure in MEASURES.values() for name in list_closure([*measure.code, *runtimes])}
    assert set(LEFT_OUT) <= reached | {"dlmi_tasks.files.cache", "dlmi_tasks.files.archives"}
