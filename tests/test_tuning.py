"""Tuning: which trials there are, what each one sees, what is counted, kept and tried again, and what is said of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dlmi_bench import api
from dlmi_bench.cli.main import app
from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.jobs import tuning as job
from dlmi_bench.jobs.pool import Ended
from dlmi_bench.jobs.protocol import TuneRequest
from dlmi_bench.jobs.worker import run_here
from dlmi_bench.records import Cell, Figure, Record, unavailable
from dlmi_bench.stats.tuning import Trial, summarise_trials
from dlmi_bench.store import Store
from dlmi_bench.tuning import session
from dlmi_bench.tuning.grid import GRID, list_trials
from dlmi_bench.tuning.ledger import write_ledger
from dlmi_bench.tuning.session import TuningOutcome, tune_models
from dlmi_bench.tuning.text import format_tuning, list_rows
from dlmi_models import MODELS, ModelEntry
from dlmi_models.own import Model
from dlmi_tasks import TASKS, get_task, ledger
from dlmi_tasks.ledger import Ledger, find_tuning
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import HeldOut, Task
from stand_ins import Command, check_answer

RECIPE = Recipe(n_epochs=3, peak_lr=0.01, batch_size=16, augmentation="none")
PAIRS = [("tiny", "softmax"), ("tiny", "mlp-24-16")]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task of 60 images of two classes, in the registry under its name."""
    images = np.random.default_rng(0).standard_normal((60, 1, 4, 4)).astype(np.float32)
    labels = (images.mean((1, 2, 3)) > 0).astype(np.int64)
    task = Task.from_arrays(images, labels, name="tiny", recipe=RECIPE)
    monkeypatch.setitem(TASKS, "tiny", task)
    return task


def answer(request: TuneRequest, accuracy: float | None = 0.5, base: Recipe = RECIPE) -> Record:
    """A trial of one second, as a worker would send it; None is a diverged one."""
    names = ("validation_accuracy", "validation_loss")
    figures = [
        unavailable(name, "diverged")
        if accuracy is None
        else Figure(name=name, value=accuracy, kind="measured", source="x")
        for name in names
    ]
    spent = Figure(name="tuning_s", value=1.0, kind="measured", source="x")
    provenance: dict[str, Any] = {
        "tried": request.tried,
        "base": base.describe(),
        "seed": request.cell.seed,
        "data": {"sha256": {"train": "ab"}},
        "splits": {"train": 40, "validation": 10},
    }
    return Record(cell=request.cell, figures=(*figures, spent), provenance=provenance)


Do = Callable[[TuneRequest], Record | BenchError]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> tuple[list[TuneRequest], dict[str, Do]]:
    """What a session asks for, answered by `do["it"]` in place of workers."""
    requests: list[TuneRequest] = []
    do: dict[str, Do] = {"it": answer}

    def ask(todo: Sequence[TuneRequest]) -> Iterator[Ended]:
        for request in todo:
            requests.append(request)
            yield Ended(request, do["it"](request), 2.0)

    monkeypatch.setattr(session, "_ask", ask)
    return requests, do


def tune(folder: Path, n_trials: int = 2, said: list[str] | None = None) -> TuningOutcome:
    store = Store(folder)
    try:
        return tune_models(PAIRS, n_trials, store, (said if said is not None else []).append)
    finally:
        store.close()


def test_trials_are_a_fixed_list_around_the_recipe_in_use() -> None:
    """By hand: 15 epochs at 0.01; counts stay whole numbers, and more trials only add to the list."""
    six = [
        {},
        {"peak_lr": 0.0025},
        {"peak_lr": 0.005},
        {"peak_lr": 0.02},
        {"peak_lr": 0.04},
        {"n_epochs": 30, "peak_lr": 0.005},
    ]
    recipe = Recipe(n_epochs=15, peak_lr=0.01)
    assert list_trials(recipe, 6) == six
    every = list_trials(recipe, len(GRID))
    assert every[:6] == six
    assert every[7] == {"n_epochs": 8, "peak_lr": 0.02}
    assert list_trials(replace(recipe, n_epochs=1), 8)[7]["n_epochs"] == 1
    for tried in every:
        replace(recipe, **tried)  # type: ignore[arg-type]  # by the names of its fields
    assert len({str(tried) for tried in every}) == len(GRID)


def test_trials_are_summed_and_the_recipe_in_use_is_ranked() -> None:
    """Two of four are better than 0.8; the failed one counts, with its second; 1 + 2 + 3 + 4 s."""
    trials = [
        Trial(validation_accuracy=0.8, tuning_s=1),
        Trial(tried={"peak_lr": 1.0}, validation_accuracy=0.9, tuning_s=2),
        Trial(tried={"peak_lr": 2.0}, validation_accuracy=0.9, tuning_s=3),
        Trial(tried={"peak_lr": 4.0}, reason="diverged", tuning_s=4),
    ]
    found = summarise_trials(trials)
    assert (found.n_trials, found.n_failed, found.tuning_s, found.rank) == (4, 1, 10, 3)
    assert (found.used_validation_accuracy, found.best_validation_accuracy) == (0.8, 0.9)
    assert found.best_tried == {"peak_lr": 1.0}
    assert summarise_trials(trials[1:]).rank is None
    tie = [trials[1].model_copy(update={"validation_accuracy": 0.8}), trials[0]]
    assert summarise_trials(tie).rank == 1


def test_trials_of_a_model_share_a_seed_that_no_training_has() -> None:
    """They are paired by it, so that what differs between them is the recipe alone; every training has a fresh one."""
    seeds = {Cell(kind="tuning", task="usps", model="cnn-4", seed_index=i).seed for i in range(6)}
    assert len(seeds) == 1
    assert not seeds & {Cell(kind="train", task="usps", model="cnn-4", seed_index=i).seed for i in range(100)}


def run_job(tried: dict[str, int | float]) -> Record:
    cell = Cell(kind="tuning", task="tiny", model="softmax", seed_index=1)
    return run_here(TuneRequest(cell=cell, tried=tried), lambda *_: None)


def test_trial_is_the_training_by_its_recipe_and_never_reads_the_test_split(
    tiny: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same figures as the loop gives by hand, with the seed of all trials; the test split has no reader."""
    from dlmi_tasks.training.loop import train

    splits = tiny.load().split(tiny.n_validation, 0)
    recipe, seed = replace(RECIPE, n_epochs=5), Cell(kind="tuning", task="tiny", model="softmax").seed
    build = lambda: MODELS["softmax"].build(tiny.input_shape, tiny.n_classes)  # noqa: E731
    last = train(build, splits, tiny, recipe, seed=seed).curve[-1]
    monkeypatch.setattr(HeldOut, "read", lambda *_: pytest.fail("the test split was read"))
    record = run_job({"n_epochs": 5})
    values = {figure.name: figure.value for figure in record.figures}
    assert values["validation_accuracy"] == last.validation_accuracy
    assert values["validation_loss"] == last.validation_loss
    assert (values["tuning_s"] or 0) > 0
    kept = record.provenance
    assert (kept["tried"], kept["seed"]) == ({"n_epochs": 5}, seed)
    assert (kept["base"], kept["recipe"]) == (RECIPE.describe(), recipe.describe())
    assert kept["splits"] == {"train": len(splits.train), "validation": len(splits.validation)}
    assert record.figure("validation_accuracy").n == len(splits.validation)  # type: ignore[union-attr]
    assert not record.artifacts


def test_diverged_and_failed_trainings_are_trials_without_an_accuracy(
    tiny: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have their seconds and a reason, and no failure that would have them tried again."""
    real = job.train

    def diverge(*args: Any, **options: Any) -> Any:
        run = real(*args, **options)
        return replace(run, curve=(*run.curve[:-1], replace(run.curve[-1], validation_loss=nan)))

    def fall(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no convergence\nsecond line")

    for train, reason in ((diverge, "diverged: the validation loss is nan"), (fall, "failed: RuntimeError: no conv")):
        monkeypatch.setattr(job, "train", train)
        record = run_job({})
        accuracy, loss, spent = record.figures
        assert (accuracy.value, loss.value) == (None, None)
        assert accuracy.reason.startswith(reason)
        assert "\n" not in accuracy.reason
        assert spent.value is not None
        assert not record.failures


def test_task_of_this_process_is_tried_in_it(tiny: Task, tmp_path: Path) -> None:
    """No other process has the objects of a notebook; what it is and took is stored with each trial."""
    found = tune(tmp_path, 2)
    assert (found.n_done, found.failures) == (4, {})
    store = Store(tmp_path, must_exist=True)
    kept = [attempt.record for attempt in store.current().values()]
    assert [record.provenance["tried"] for record in kept if record] == [
        {},
        {},
        {"peak_lr": 0.0025},
        {"peak_lr": 0.0025},
    ]
    assert all(record and "machine_id" in record.provenance for record in kept)


def test_models_take_turns_and_finished_trials_are_kept(
    tiny: Task, asked: tuple[list[TuneRequest], dict[str, Do]], tmp_path: Path
) -> None:
    """Stopped at any time the budgets are equal to one; more trials later add to those that are there."""
    requests, _ = asked
    said: list[str] = []
    first = tune(tmp_path, 2, said)
    order = [(r.cell.model, r.cell.seed_index) for r in requests]
    assert order == [("softmax", 0), ("mlp-24-16", 0), ("softmax", 1), ("mlp-24-16", 1)]
    assert (first.n_done, first.n_kept) == (4, 0)
    assert said[0] == "[1/4] tiny: softmax, the recipe in use: validation 50.0 % (2.0 s)"
    requests.clear()
    later = tune(tmp_path, 3)
    assert [(r.cell.model, r.cell.seed_index) for r in requests] == [("softmax", 2), ("mlp-24-16", 2)]
    assert (later.n_done, later.n_kept) == (2, 4)
    assert [row.tuning.n_trials for row in list_rows(later) if row.tuning] == [3, 3]


def test_interrupted_session_keeps_what_was_finished(
    tiny: Task, asked: tuple[list[TuneRequest], dict[str, Do]], tmp_path: Path
) -> None:
    """Ctrl-C in the third trial: two are kept, two are done by the next session."""
    requests, do = asked

    def stop(request: TuneRequest) -> Record:
        if len(requests) == 3:
            raise KeyboardInterrupt
        return answer(request)

    do["it"] = stop
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path)
    do["it"] = answer
    found = tune(tmp_path)
    assert (found.n_kept, found.n_done) == (2, 2)


def test_another_recipe_in_use_makes_its_trials_stale(
    tiny: Task, asked: tuple[list[TuneRequest], dict[str, Do]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were around another recipe."""
    tune(tmp_path)
    monkeypatch.setitem(TASKS, "tiny", replace(tiny, recipes={"*": replace(RECIPE, peak_lr=0.02)}))
    found = tune(tmp_path)
    assert (found.n_kept, found.n_done) == (0, 4)


def test_diverged_trials_count_and_those_that_did_not_start_are_tried_again(
    tiny: Task, asked: tuple[list[TuneRequest], dict[str, Do]], tmp_path: Path
) -> None:
    """A worker that died has measured nothing: no trial, a failure that is told."""
    requests, do = asked

    def mixed(request: TuneRequest) -> Record | BenchError:
        if request.cell.model == "softmax":
            return answer(request, None if request.tried else 0.5)
        return BenchError("worker died", "free memory") if request.tried else answer(request)

    do["it"] = mixed
    found = tune(tmp_path)
    softmax, mlp = (row.tuning for row in list_rows(found))
    assert softmax is not None
    assert mlp is not None
    assert (softmax.n_trials, softmax.n_failed, mlp.n_trials) == (2, 1, 1)
    assert list(found.failures) == ["tuning/tiny/mlp-24-16/1"]
    requests.clear()
    do["it"] = answer
    tune(tmp_path)
    assert [r.cell.key for r in requests] == ["tuning/tiny/mlp-24-16/1"]


def test_table_of_trials_fits_a_terminal(
    tiny: Task, asked: tuple[list[TuneRequest], dict[str, Do]], tmp_path: Path
) -> None:
    """By hand: the second trial of two is best with 75 %, each of one second."""
    asked[1]["it"] = lambda request: answer(request, 0.75 if request.tried else 0.5)
    text = format_tuning(tune(tmp_path))
    assert "softmax         2      2.0     50.00   75.00  peak_lr 0.0025" in text.splitlines()
    assert max(map(len, text.splitlines())) <= 80
    assert text.endswith("4 trials done, 0 kept, 0 not started. The recipes in use stay as they are.")


def test_training_without_a_recipe_cannot_be_tuned(
    tiny: Task, asked: tuple[list[TuneRequest], dict[str, Do]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit of the user's takes none; nothing is tried, and the row says so."""
    own = Model(lambda: None, fit=lambda *_: None)
    monkeypatch.setitem(MODELS, "mlp-24-16", ModelEntry("", "", "m", is_own=True, definition=own))
    rows = list_rows(tune(tmp_path))
    assert (rows[1].tuning, rows[1].obstacle) == (None, "not available: fit takes no recipe")
    assert {request.cell.model for request in asked[0]} == {"softmax"}


def test_ledger_is_believed_for_its_data_and_recipe_only(
    tiny: Task, asked: tuple[list[TuneRequest], dict[str, Do]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the command writes is what a training reads, and of another recipe or other data nothing is."""
    path = write_ledger(tune(tmp_path), tmp_path / "tuning.json")
    monkeypatch.setitem(ledger.FILES, "tiny", (str(path),))
    used: dict[str, Any] = RECIPE.describe()
    found = find_tuning("tiny", "softmax", used, {"train": "ab"})
    assert found is not None
    assert (found.n_trials, found.tuning_s, found.rank, found.note) == (2, 2.0, 1, ledger.EARLIER)
    assert find_tuning("tiny", "softmax", used | {"peak_lr": 0.5}, {"train": "ab"}) is None
    assert find_tuning("tiny", "softmax", used, {"train": "cd"}) is None
    assert find_tuning("tiny", "cnn-4", used, {"train": "ab"}) is None
    assert find_tuning("another", "softmax", used, {"train": "ab"}) is None


@pytest.mark.parametrize("name", [*ledger.FILES])
def test_shipped_ledger_has_equal_budgets_around_the_recipes_in_use(name: str) -> None:
    """Every default model of the task, as many trials for each, all of the grid, around the recipe of today."""
    task, folder = get_task(name), Path(ledger.__file__).parent
    shipped, *searched = (Ledger.model_validate_json((folder / file).read_bytes()) for file in ledger.FILES[name])
    rows = {row.model: row for row in shipped.models}
    assert shipped.task == name
    assert set(task.default_models) <= {*rows, *(row.model for other in searched for row in other.models)}
    assert len({len(row.trials) for row in rows.values()}) == 1
    for model, row in rows.items():
        assert row.recipe == task.recipe(model).describe()
        assert row.seed == Cell(kind="train", task=name, model=model).seed
        assert [trial.tried for trial in row.trials] == list_trials(task.recipe(model), len(row.trials))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("usps", ["mlp-16-12", "sepconv-6-9-10", "conv-12-18-20", "mlp-64-32+pruned-1500"]),
        ("spect", ["conv-4-4-4", "vit-8-2-2", "dct-36-12-8"]),
    ],
)
def test_compact_nets_have_the_recipes_that_the_search_found(name: str, known: list[str]) -> None:
    """The recipe in use was trained to its end, and no trial as long has a lower mean loss on as many folds."""
    folder, task = Path(ledger.__file__).parent, get_task(name)
    ledgers = [Ledger.model_validate_json((folder / file).read_bytes()) for file in ledger.FILES[name][1:]]
    rows = {row.model: row for found in ledgers for row in found.models}
    assert {*known} <= {model for model, row in rows.items() if task.recipe(model).describe() == row.recipe}
    for model in known:
        losses: dict[str, list[float]] = {}
        for trial in rows[model].trials:
            if "n_epochs" not in trial.tried:
                losses.setdefault(str(trial.tried), []).append(trial.validation_loss or nan)
        own = losses.pop("{}")
        assert all(fmean(own) <= fmean(other) for other in losses.values() if len(other) >= len(own))


def test_interrupted_command_says_how_to_resume(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit code 130, as of any program that Ctrl-C ended."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "tune", stop)
    done = CliRunner().invoke(app, ["tune", "--out", str(tmp_path)])
    assert done.exit_code == 130
    assert "run the same command again to resume" in done.output


def test_numbers_of_trials_and_places_that_cannot_be(tmp_path: Path) -> None:
    """More trials than the list has, and one ledger for two tasks, are refused before anything is trained."""
    with pytest.raises(UsageError, match="13 trials: the list has 12"):
        api.tune(n_trials=13, out=tmp_path)
    with pytest.raises(UsageError, match="a ledger is of one task, not 2"):
        api.tune(out=tmp_path, to=tmp_path / "a.json")
    assert not [*tmp_path.iterdir()]


def test_command_tunes_and_keeps(command: Command) -> None:
    """As installed, on digits: the trial is trained once, then kept; the answer fits its schema."""
    words = ("tune", "--task", "usps", "--model", "softmax", "--trials", "1")
    first = command(*words, "--json")
    told: Any = check_answer("tune", first.stdout)
    assert (first.returncode, told["done"], told["kept"]) == (0, 1, 0)
    assert "[1/1] usps: softmax, the recipe in use: validation 9" in first.stderr
    (row,) = told["models"]
    assert row["tuning"]["n_trials"] == row["tuning"]["rank"] == 1
    again = command(*words, "--quiet")
    assert (again.returncode, again.stderr) == (0, "")
    assert "0 trials done, 1 kept" in again.stdout
