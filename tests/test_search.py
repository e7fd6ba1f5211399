"""Search by successive halving: who goes on, who wins, what is kept, and what the ledger says of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.jobs.protocol import TuneRequest
from dlmi_bench.records import Figure, Record
from dlmi_bench.stats.tuning import summarise_trials
from dlmi_bench.store import Store
from dlmi_bench.tuning.halving import Found, search_space
from dlmi_bench.tuning.ledger import write_search
from dlmi_bench.tuning.session import TuningOutcome
from dlmi_bench.tuning.space import SPACES, Space, load_space
from dlmi_bench.tuning.text import format_search
from dlmi_tasks import ledger
from dlmi_tasks.ledger import Ledger, find_tuning
from dlmi_tasks.spec import Arrays, Dataset, Task
from stand_ins import Command, check_answer
from test_tuning import RECIPE, Do, answer, asked, tiny  # noqa: F401  # two of them are fixtures

SIZES = {"softmax": 10, "mlp-4": 20, "mlp-8": 40}
SPACE = Space.model_validate(
    {
        "task": "tiny",
        "group": [
            {
                "name": "g",
                "models": ["mlp-8", "mlp-4"],
                "recipes": [{"peak_lr": i, "n_epochs": 8} for i in (1, 2, 3, 4)],
            },
            {"name": "h", "models": ["softmax"], "recipes": [{"optimiser": "muon"}]},
        ],
    }
)


def lose(loss: Callable[[TuneRequest], float | None]) -> Do:
    """Trials with this loss; None is a training that failed."""

    def do(request: TuneRequest) -> Record:
        record, value = answer(request, None), loss(request)
        size = Figure(name="n_nonzero", value=SIZES[request.cell.model], kind="counted", source="x")
        recipe: Any = replace(RECIPE, **request.tried).describe()  # type: ignore[arg-type]
        if value is not None:
            value -= float(request.tried["n_epochs"]) / 1000
            named = (("validation_loss", value), ("validation_accuracy", 0.9 - value / 10))
            found = tuple(Figure(name=n, value=v, kind="measured", source="x") for n, v in named)
            record = record.model_copy(update={"figures": (*found, record.figures[-1], size)})
        return record.model_copy(update={"provenance": record.provenance | {"recipe": recipe, "versions": {}}})

    return do


def search(folder: Path) -> tuple[TuningOutcome, list[Found]]:
    store = Store(folder)
    try:
        return search_space(SPACE, store, lambda _: None)
    finally:
        store.close()


def test_the_better_half_goes_on(
    tiny: Task,  # noqa: F811
    asked: tuple[list[TuneRequest], dict[str, Do]],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Four recipes, two, one: at 2, 4 and 8 of 8 epochs. Each model is judged by itself."""
    best = {"mlp-8": 3.0, "mlp-4": 2.0, "softmax": 0.0}
    asked[1]["it"] = lose(lambda r: abs(float(r.tried.get("peak_lr", 0)) - best[r.cell.model] - 0.1))
    outcome, _ = search(tmp_path)
    own = [(r.tried["n_epochs"], r.tried["peak_lr"]) for r in asked[0] if r.cell.model == "mlp-8"]
    assert own == [(2, 1), (2, 2), (2, 3), (2, 4), (4, 3), (4, 4), (8, 3)]
    other = [(r.tried["n_epochs"], r.tried["peak_lr"]) for r in asked[0] if r.cell.model == "mlp-4"]
    assert other[4:] == [(4, 2), (4, 3), (8, 2)]
    assert [r.tried["n_epochs"] for r in asked[0] if r.cell.model == "softmax"] == [1, 2, 3]
    assert (outcome.n_done, outcome.n_kept) == (17, 0)
    again, found = search(tmp_path)
    assert (again.n_done, again.n_kept) == (0, 17)
    assert [(f.model, f.records[0].provenance["tried"]) for f in found][:2] == [
        ("mlp-4", {"peak_lr": 2, "n_epochs": 8}),
        ("mlp-8", {"peak_lr": 3, "n_epochs": 8}),
    ]


def test_folds_are_averaged(
    tiny: Task,  # noqa: F811
    asked: tuple[list[TuneRequest], dict[str, Do]],  # noqa: F811
    tmp_path: Path,
) -> None:
    """A recipe that one fold likes best loses to one that all three like well; each fold is a cell of its own."""
    losses = {1: (0.0, 0.9, 0.9), 2: (0.5, 0.5, 0.5), 3: (0.7, 0.7, 0.7)}
    asked[1]["it"] = lose(lambda r: losses[int(r.tried["peak_lr"])][r.fold])
    group = {"name": "g", "models": ["mlp-4"], "n_folds": 3, "recipes": [{"peak_lr": i} for i in (1, 2, 3)]}
    store = Store(tmp_path)
    outcome, (found,) = search_space(
        Space.model_validate({"task": "tiny", "shares": [0.5, 1], "group": [group]}), store, lambda _: None
    )
    store.close()
    assert [(r.tried["peak_lr"], r.fold) for r in asked[0]] == [
        *((i, fold) for i in (1, 2, 3) for fold in range(3)),
        *((i, fold) for i in (2, 1) for fold in range(3)),
    ]
    assert len({r.cell.key for r in asked[0]}) == 15
    assert [r.provenance["tried"]["peak_lr"] for r in found.records] == [2, 2, 2]  # type: ignore[index, call-overload]
    assert found.loss == pytest.approx(0.497)
    (row,) = Ledger.model_validate_json(write_search(outcome, [found], tmp_path / "l.json").read_bytes()).models
    tuning = summarise_trials(row.trials)
    assert (tuning.n_trials, tuning.rank) == (15, 1)
    assert tuning.used_validation_accuracy == pytest.approx(0.9 - 0.0497)


def test_a_fold_that_did_not_start_wins_nothing(
    tiny: Task,  # noqa: F811
    asked: tuple[list[TuneRequest], dict[str, Do]],  # noqa: F811
    tmp_path: Path,
) -> None:
    """The better recipe lost a fold to a dead worker: its mean is over others, so the complete one goes on."""

    def do(request: TuneRequest) -> Record | BenchError:
        if request.tried["peak_lr"] == 1 and request.fold == 1:
            return BenchError("worker died", "free memory")
        return lose(lambda r: float(r.tried["peak_lr"]))(request)

    asked[1]["it"] = do
    group = {"name": "g", "models": ["mlp-4"], "n_folds": 2, "recipes": [{"peak_lr": 1}, {"peak_lr": 2}]}
    store = Store(tmp_path)
    space = Space.model_validate({"task": "tiny", "shares": [1], "group": [group]})
    _, (found,) = search_space(space, store, lambda _: None)
    store.close()
    assert [r.cell.seed_index for r in found.records] == [1, 10_001]


def test_folds_share_no_example() -> None:
    """Five folds of the digits' size, each with its share of every class; the first is the one all trainings have."""
    labels = np.repeat(np.arange(10), 30)
    images = np.arange(300, dtype=np.float32).reshape(-1, 1, 1, 1)
    data = Dataset("d", "s", Arrays(images, labels), Arrays(images[:3], labels[:3]), is_synthetic=True, note="")
    cuts = [data.cut(41, fold) for fold in range(7)]
    seen = [set(cut.validation.images.ravel()) for cut in cuts]
    assert {*seen[0]} == {*data.split(41).validation.images.ravel()}
    assert len(set.union(*seen)) == sum(map(len, seen)) == 7 * 41
    for cut in cuts:
        assert len(cut.train) == 259
        assert np.bincount(cut.validation.labels).min() >= 3
    with pytest.raises(ValueError, match="no fold 7"):
        data.cut(41, 7)


def test_a_failed_training_never_goes_on_while_another_does(
    tiny: Task,  # noqa: F811
    asked: tuple[list[TuneRequest], dict[str, Do]],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Recipes 1 and 3 diverge, and a dead worker has measured nothing; all but the last are counted."""

    def do(request: TuneRequest) -> Record | BenchError:
        if request.cell.model == "mlp-4" and request.tried["peak_lr"] == 2:
            return BenchError("worker died", "free memory")
        return lose(lambda r: None if r.tried.get("peak_lr") in (1, 3) else 0.5)(request)

    asked[1]["it"] = do
    outcome, found = search(tmp_path)
    assert {r.tried["peak_lr"] for r in asked[0] if r.cell.model == "mlp-8" and r.tried["n_epochs"] == 4} == {2, 4}
    assert {f.model: f.loss for f in found} == {"mlp-4": 0.492, "mlp-8": 0.492, "softmax": 0.497}
    assert set(outcome.failures) == {"tuning/tiny/mlp-4/1"}
    assert len(next(m for m in outcome.models if m.model == "mlp-8").records) == 7


def test_winners_are_those_that_no_smaller_one_equals(
    tiny: Task,  # noqa: F811
    asked: tuple[list[TuneRequest], dict[str, Do]],  # noqa: F811
    tmp_path: Path,
) -> None:
    """In the group of two the larger one is no better; the smallest net of all is in a group of its own."""
    asked[1]["it"] = lose(lambda r: {"mlp-4": 0.2, "mlp-8": 0.2, "softmax": 0.9}[r.cell.model])
    outcome, found = search(tmp_path)
    assert [(f.model, f.is_winner) for f in found] == [("mlp-4", True), ("mlp-8", False), ("softmax", True)]
    text = format_search(outcome, found)
    assert "mlp-4 *" in text
    assert "mlp-8 *" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_ledger_of_a_search_is_that_of_the_best_recipe(
    tiny: Task,  # noqa: F811
    asked: tuple[list[TuneRequest], dict[str, Do]],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All seven trials count, the short ones too; the recipe of the best is the one in use."""
    asked[1]["it"] = lose(lambda r: abs(float(r.tried.get("peak_lr", 0)) - 3))
    path = write_search(*search(tmp_path), tmp_path / "ledger.json")
    rows = {row.model: row for row in Ledger.model_validate_json(path.read_bytes()).models}
    best: Any = replace(RECIPE, peak_lr=3, n_epochs=8).describe()
    assert rows["mlp-8"].recipe == best
    assert [trial.tried for trial in rows["mlp-8"].trials if not trial.tried] == [{}]
    monkeypatch.setitem(ledger.FILES, "tiny", (str(path),))
    found = find_tuning("tiny", "mlp-8", best, {"train": "ab"})
    assert found is not None
    assert (found.n_trials, found.tuning_s, found.rank) == (7, 7.0, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "uspss"}, "no task 'uspss'"),
        ({"shares": [0.5, 0.25, 1.0]}, "shares"),
        ({"shares": [0.5]}, "shares"),
        ({"group": [{"name": "g", "models": ["mlp-x"], "recipes": [{}]}]}, "g: no model 'mlp-x'"),
        ({"group": [{"name": "g", "models": ["mlp-4"], "recipes": [{"n_epoch": 3}]}]}, "no field 'n_epoch'"),
        ({"group": []}, "group"),
    ],
)
def test_faults_of_a_space_are_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The file, the field and the remedy; nothing is trained."""
    group = {"name": "g", "models": ["mlp-4"], "recipes": [{}]}
    content = {"task": "usps", "shares": [1.0], "group": [group]} | change
    path = tmp_path / "space.toml"
    path.write_text("\n".join(f"{name} = {write(value)}" for name, value in content.items()))
    with pytest.raises(UsageError, match=said) as caught:
        load_space(str(path))
    assert "space.toml" in caught.value.cause


def write(value: Any) -> str:
    """A value as TOML; tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {write(v)}" for k, v in value.items()) + " }"
    return f"[{', '.join(map(write, value))}]" if isinstance(value, list) else repr(value).replace("'", '"')


@pytest.mark.parametrize("name", SPACES)
def test_shipped_spaces_are_valid(name: str) -> None:
    """All models and fields exist; sizes go from hundreds up, on digits to hundreds of thousands."""
    from dlmi_models import MODELS
    from dlmi_tasks import get_task

    space = load_space(name)
    task = get_task(space.task)
    networks = [MODELS[m].build(task.input_shape, task.n_classes) for group in space.group for m in group.models]
    sizes = [sum(weight.numel() for weight in network.parameters()) for network in networks]
    assert min(sizes) < 600
    assert max(sizes) > {"usps": 200_000, "spect": 100_000}[space.task]


def test_command_searches_and_keeps(command: Command, tmp_path: Path) -> None:
    """As installed, on digits with two short recipes; again nothing is trained, and the answer fits its schema."""
    path = tmp_path / "space.toml"
    path.write_text(
        'task = "usps"\nshares = [0.5, 1]\n[[group]]\nname = "g"\nmodels = ["mlp-4"]\n'
        "recipes = [{ n_epochs = 2 }, { n_epochs = 2, peak_lr = 0.02 }]\n"
    )
    first = command("tune", "--space", str(path), "--json")
    told: Any = check_answer("tune", first.stdout)
    assert (first.returncode, told["done"], told["kept"]) == (0, 3, 0)
    (row,) = told["found"]
    assert (row["model"], row["n_nonzero"], row["n_trials"]) == ("mlp-4", 256 * 4 + 4 + 50, 3)
    again: Any = check_answer("tune", command("tune", "--space", str(path), "--json", "--quiet").stdout)
    assert (again["done"], again["kept"]) == (0, 3)
