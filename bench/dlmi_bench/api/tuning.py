"""Tuning as a function: try recipes by validation, as many for each model."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.api.answer import Answer
from dlmi_bench.api.results import choose_suite
from dlmi_bench.errors import UsageError, require

if TYPE_CHECKING:
    from dlmi_bench.suite.suites import Suite
    from dlmi_bench.tuning.session import TuningOutcome


def tune(
    suite: "str | Suite" = "default",
    *,
    tasks: Iterable[str] = (),
    models: Iterable[str] = (),
    n_trials: int = 6,
    out: str | Path = "out",
    to: str | Path | None = None,
    space: str | Path | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> "Answer[TuningOutcome]":
    """Try recipes around those in use, by validation alone, equally many for each model. No recipe is changed.

    With a space the recipes and models are those of a file, and of the recipes the better half goes on each time.

    Args:
        suite: Name of a suite, path of a TOML file, or a `Suite`: whose tasks and models.
        tasks, models: Only these.
        n_trials: Trials of each model, of a fixed list of twelve.
        out: Folder of the results, in which every trial is kept and counted.
        to: File for the trials of one task.
        space: `frontier`, or a TOML file with a task and groups of models and recipes, in place of all of the above.
        on_progress: Told a line for each trial that ends.

    Returns:
        Trials kept and done, with their records; one row for each model, of a search those that trained.

    Raises:
        UsageError: a name or the number of trials is wrong, or `to` is given for several tasks.
        UnavailableError: torch is not installed.
        DataError, FetchError: a task's data cannot be had.

    Example:
        >>> import dlmi_bench
        >>> answer = dlmi_bench.tune(tasks=["usps"], models=["softmax"], n_trials=1, out=out)
        >>> answer.to_dataframe()["model"].tolist()
        ['softmax']
    """
    require("torch", "training")
    from dlmi_bench.store import Store
    from dlmi_bench.suite.suites import select_models
    from dlmi_bench.tuning.grid import GRID
    from dlmi_bench.tuning.ledger import write_ledger
    from dlmi_bench.tuning.session import tune_models
    from dlmi_bench.tuning.text import format_tuning, list_rows

    if space:
        return _search(str(space), Path(out), to, on_progress)
    if not 1 <= n_trials <= len(GRID):
        raise UsageError(f"{n_trials} trials: the list has {len(GRID)}", f"ask for 1 to {len(GRID)}")
    chosen = choose_suite(suite, tasks, models)
    if to and len(chosen.tasks) != 1:
        raise UsageError(f"--to {to}: a ledger is of one task, not {len(chosen.tasks)}", "name it with --task")
    pairs = [(task, model) for task in chosen.tasks for model in select_models(chosen, task)]
    store = Store(Path(out))
    try:
        outcome = tune_models(pairs, n_trials, store, on_progress)
    finally:
        store.close()
    if to:
        write_ledger(outcome, Path(to))
    rows = [row.model_dump(mode="json") for row in list_rows(outcome)]
    return Answer(outcome, rows, format_tuning(outcome))


def _search(space: str, out: Path, to: str | Path | None, say: Callable[[str], None]) -> "Answer[TuningOutcome]":
    """Search the recipes of a space."""
    from dlmi_bench.store import Store
    from dlmi_bench.tuning.halving import search_space
    from dlmi_bench.tuning.ledger import write_search
    from dlmi_bench.tuning.space import load_space
    from dlmi_bench.tuning.text import format_search, list_found

    asked, store = load_space(space), Store(out)
    try:
        outcome, found = search_space(asked, store, say)
    finally:
        store.close()
    if to:
        write_search(outcome, found, Path(to))
    rows = [row.model_dump(mode="json") for row in list_found(outcome, found)]
    return Answer(outcome, rows, format_search(outcome, found))
