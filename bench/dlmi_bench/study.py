"""Studies: the user's own models and data compared, from a notebook, a script or a file `study.py`.

    import dlmi_bench as db
    study = db.compare({"mine": make_net, "cnn": "cnn-32"}, db.Task.from_npz("digits.npz"), seeds=5)

A script is also what workers run to find its objects, up to this call. The objects of a notebook live in one process,
which then trains them itself.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlmi_bench.api import Answer, judge_claims, report, run
from dlmi_bench.errors import UsageError, list_choices, require
from dlmi_bench.jobs import plugins, source_files
from dlmi_bench.suite.study_file import StudyFile
from dlmi_bench.suite.suites import Suite, load_suite
from dlmi_bench.units import clean_text
from dlmi_models.own import Model, as_model
from dlmi_tasks import TASKS, get_task
from dlmi_tasks.spec import Task

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from dlmi_bench.suite.outcome import Outcome
    from dlmi_reports.claims.changes import LockedVerdicts
    from dlmi_reports.results.load import Results


@dataclass(frozen=True)
class Study:
    """Results of a comparison.

    Attributes:
        out: Folder of the results.
        tasks: Names of its tasks.
        outcome: What was kept and done, and what failed.
    """

    out: Path
    tasks: tuple[str, ...]
    outcome: "Outcome" = field(repr=False)

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a row for each task and model: accuracy with its interval, and costs in SI units."""
        import pandas as pd

        return pd.DataFrame(self.list_rows())

    def list_rows(self) -> list[dict[str, Any]]:
        """List the rows of the table; None where a figure is not available. Empty where every cell failed."""
        from dlmi_reports.tables.joined import list_joined

        results = self._load()
        return [row for row in list_joined(results) if row["task"] in self.tasks] if results else []

    def _load(self) -> "Results | None":
        from dlmi_bench.store import Store
        from dlmi_reports.results.load import load_results

        store = Store(self.out, must_exist=True)
        return load_results(store) if any(attempt.record for attempt in store.current().values()) else None

    def plot(self, cost: str = "latency_s", task: str | None = None) -> "Figure":
        """Draw test accuracy against a cost, with both intervals.

        Args:
            cost: A column of the table: latency_s, n_parameters, macs, size_bytes, n_nonzero, packed_bytes, training_s.
            task: Which task; the first by default.

        Raises:
            UsageError: there is no such cost or task, or no model has it.
            UnavailableError: matplotlib is not installed.
        """
        from dlmi_reports.plots.joined import draw_joined

        require("plots", "plot")
        if task is not None and task not in self.tasks:
            raise UsageError(f"no task {task!r} in this study", list_choices(task, self.tasks))
        return draw_joined([row for row in self.list_rows() if row["task"] == (task or self.tasks[0])], cost)

    def claims(self, file: str | Path | None = None) -> "Answer[LockedVerdicts]":
        """Judge claims by the results; by default those that were stated with the comparison."""
        return judge_claims(self.out, file=file)

    def report(self, folder: str | Path | None = None, formats: Iterable[str] = ()) -> Answer[list[Path]]:
        """Write the report, into `out`/report by default."""
        return report(self.out, to=folder, formats=formats)

    def __str__(self) -> str:
        from dlmi_reports.tables.joined import format_joined

        return clean_text("\n".join([format_joined(self.list_rows()), *self._list_failures()]))

    def _list_failures(self) -> list[str]:
        """List what is not available and why, and the cells that failed."""
        from dlmi_reports.tables.joined import list_reasons

        results = self._load()
        reasons = list_reasons(results, self.tasks) if results else []
        return [*reasons, *(f"failed: {key}: {error}" for key, error in self.outcome.failures.items())]

    def _repr_html_(self) -> str:
        from html import escape

        import pandas as pd

        from dlmi_reports.tables.joined import HEADER, list_cells

        parts = []
        for task in self.tasks:
            cells = list_cells([row for row in self.list_rows() if row["task"] == task])
            parts.append(f"<p>{escape(task)}</p>{pd.DataFrame(cells, columns=list(HEADER)).to_html(index=False)}")
        return "".join([*parts, *(f"<p>{escape(clean_text(line))}</p>" for line in self._list_failures())])


def compare(
    models: "Mapping[str, str | Model | Callable[..., Any]]",
    task: "Task | str | Iterable[Task | str]",
    *,
    seeds: int = 5,
    out: str | Path = "out",
    claims: str | Path | None = None,
    suite: Suite | str | None = None,
    fresh: bool | Iterable[str] = False,
    is_quiet: bool = False,
) -> Study:
    """Train models on a task over several seeds, measure what they cost, and keep everything in `out`.

    Args:
        models: By name: a factory or class of torch modules, a `Model`, the name of a registered model,
            `package.module:factory`, `net.py:factory`, or the path of an ONNX file.
        task: A task, or several: of your own, or names of registered ones.
        seeds: Trainings of each model; with folds, trainings of each fold.
        out: Folder of the results; what is there and still holds is kept.
        claims: File of claims to judge; by default whether the first model is as accurate as each other, and cheaper.
        suite: How finely to measure, or the name of a suite; its tasks, models and seeds are those named here.
        fresh: True to do everything again, or the kinds of cell to do again, for instance ["latency"].
        is_quiet: Show no progress.

    Returns:
        The study: a table, plots, verdicts, a report.

    Raises:
        UsageError: a model or a task is not one, or the script compares twice.
        DataError: the data cannot be used.
    """
    tasks = _list_tasks(task)
    if not isinstance(models, Mapping):
        raise UsageError(
            f"compare: models is a {type(models).__name__}", 'name them: {"mine": make_net, "cnn": "cnn-32"}'
        )
    if isinstance(suite, str):
        suite = load_suite(suite)
    if not isinstance(suite, Suite | None):
        raise UsageError(f"compare: suite is a {type(suite).__name__}", "write dlmi_bench.Suite(n_processes=3)")
    if source_files.is_replaying():
        asked = (suite or Suite(name="compare")).model_copy(update={"tasks": tuple(tasks), "n_seeds": seeds})
        own = {name: value for name, value in tasks.items() if isinstance(value, Task)}
        source_files.end_replay(MODELS=dict(models), TASKS=own, SUITE=asked, CLAIMS=claims)
    if not isinstance(seeds, int) or seeds < 1:
        raise UsageError(f"compare: seeds is {seeds}", "train each model at least once; five show the spread")
    if not models:
        raise UsageError("compare: no models", 'name some: {"mine": make_net, "cnn": "cnn-32"}')
    _adopt(models, tasks)
    chosen = (suite or Suite(name="compare")).model_copy(
        update={"tasks": tuple(tasks), "models": tuple(models), "n_seeds": seeds}
    )
    study = StudyFile(chosen, tuple(models), Path(claims) if claims else None)
    study.keep_claims(Path(out))
    answer = run(chosen, out=out, fresh=fresh, is_quiet=is_quiet)
    return Study(Path(out), tuple(tasks), answer.content)


def _list_tasks(task: "Task | str | Iterable[Task | str]") -> dict[str, Task | str]:
    given = [*task] if isinstance(task, Iterable) and not isinstance(task, str) else [task]
    for value in given:
        if not isinstance(value, Task | str):
            raise UsageError(f"compare: a task is a {type(value).__name__}", "make it by Task.from_arrays or so")
    return {value if isinstance(value, str) else value.name: value for value in given}


_COMPARED: list[str] = []  # the script that has compared in this process


def _adopt(models: Mapping[str, Any], tasks: dict[str, Task | str]) -> None:
    """Let models and tasks join the registries: by the script that they come from, else as objects of this process."""
    script = source_files.find_script()
    own = {name: task for name, task in tasks.items() if isinstance(task, Task)}
    module = _adopt_script(script, models, own) if script else ""
    for name, value in models.items():
        is_word = isinstance(value, str) and not (module and value.endswith(".onnx"))
        plugins.adopt_model(name, plugins.find_model(value) if is_word else _choose_place(module, name, value))
    for name, task in tasks.items():
        if isinstance(task, Task):
            plugins.adopt_task(name, module or task)
        else:
            get_task(task) if task in TASKS else _refuse_task(task)


def _choose_place(module: str, name: str, value: object) -> "plugins.Place | Model":
    model = as_model(value, name)
    return plugins.Place(module, name) if module else model


def _refuse_task(name: str) -> None:
    raise UsageError(f"no task {name!r}", list_choices(name, TASKS, ", or Task.from_arrays and the like"))


def _adopt_script(script: Path, models: Mapping[str, Any], tasks: dict[str, Task]) -> str:
    """Name of the script as a module: workers run it up to this call, this process has its objects already."""
    if _COMPARED:
        raise UsageError(
            f"{script}: compare is called twice in one script, and workers run it up to the first call",
            "name all models and tasks in one call, or write two scripts",
        )
    _COMPARED.append(str(script))
    name = source_files.adopt_file(script, sys.argv)
    spec = source_files.FINDER.find_spec(name)
    assert spec
    module = module_from_spec(spec)
    module.__dict__.update(MODELS=dict(models), TASKS=tasks)
    sys.modules[name] = module
    return name
