"""The session of a referee: trainings in disguise and plain ones, then what fresh processes find in the files."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from dlmi_bench.errors import BenchError, UnavailableError, UsageError, list_choices
from dlmi_bench.jobs import plugins
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import DISGUISE, Cell, Record
from dlmi_bench.refereeing import checks
from dlmi_bench.refereeing.checks import Check
from dlmi_bench.refereeing.protocol import FilesRequest, FreshRequest, Training
from dlmi_bench.stats.estimates import estimate_difference
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import find_artifact
from dlmi_bench.suite.display import Display
from dlmi_bench.suite.runner import Runner
from dlmi_bench.suite.suites import Suite, check_names
from dlmi_models import MODELS
from dlmi_reports.results.answers import Answers, read_answers
from dlmi_reports.results.load import load_results
from dlmi_tasks import TASKS, get_task
from dlmi_tasks.disguise import make_disguise

MIN_SEEDS = 2  # one training has no spread


@dataclass(frozen=True)
class RefereedModel:
    """Checks of one model, in their order; where something failed, why, and no checks."""

    model: str
    checks: tuple[Check, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Refereed:
    """What a referee says of all models.

    Attributes:
        task: The plain one.
        nonce: What decided the disguise.
        is_drawn: Whether the nonce was drawn in this run, so that nobody knew it before.
        margin: Of accuracy, a fraction.
    """

    task: str
    nonce: str
    is_drawn: bool
    n_seeds: int
    margin: float
    models: tuple[RefereedModel, ...]

    @property
    def has_found(self) -> bool:
        return any(check.verdict == "FOUND" for model in self.models for check in model.checks)

    @property
    def is_complete(self) -> bool:
        """True where every model was checked and no check is undecided."""
        verdicts = [check.verdict for model in self.models for check in model.checks]
        return not any(model.failure for model in self.models) and "undecided" not in verdicts


def draw_nonce() -> str:
    """Draw a nonce that nobody can know beforehand: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def referee_models(
    models: Sequence[str],
    task: str,
    store: Store,
    display: Display,
    *,
    n_seeds: int,
    margin: float,
    nonce: str = "",
) -> Refereed:
    """Train each model in disguise and plain, as far as the store has not, and check what came of it.

    Trainings in disguise come first, in workers of their own: nothing that a plain training read is left in them.

    Args:
        models: Names of the registry.
        nonce: One of an earlier run, to resume or repeat it; by default one is drawn.

    Raises:
        UsageError: a name or the nonce is wrong, or there is nothing to train.
        UnavailableError: a model or the task lives in this process alone, or the data have no disguise.
        DataError, FetchError: the data cannot be had.
    """
    check_trainable(models, task)
    is_drawn, nonce = not nonce, nonce or draw_nonce()
    make_disguise(get_task(task), nonce)
    disguised = f"{task}{DISGUISE}{nonce}"
    plugins.adopt_task(disguised, "dlmi_tasks.disguise")
    suite = Suite(name="referee", tasks=(disguised, task), models=tuple(models), measures=(), n_seeds=n_seeds)
    runner, failures = Runner(check_names(suite, "referee"), store), dict[str, str]()
    display.say(f"nonce {nonce}: name it with --nonce to resume or repeat this")
    for name in suite.tasks:
        cells = [cell for model in models for cell in _list_cells(name, model, n_seeds)]
        failures |= runner.train(cells, display).failures
    found = []
    for model in models:
        display.say(f"checking {model}")
        cells = [cell for name in suite.tasks for cell in _list_cells(name, model, n_seeds)]
        lost = [failures[cell.key] for cell in cells if cell.key in failures]
        try:
            made = RefereedModel(model, failure=lost[0]) if lost else _check(model, disguised, store, suite, margin)
        except BenchError as error:
            made = RefereedModel(model, failure=str(error))
        found.append(made)
    return Refereed(task, nonce, is_drawn, n_seeds, margin, tuple(found))


def check_trainable(models: Sequence[str], task: str) -> None:
    """Refuse what cannot be trained from nothing in a process of its own.

    Raises:
        UsageError, UnavailableError: see referee_models.
    """
    if DISGUISE in task:
        raise UsageError(f"task {task!r} is in disguise", "name the task itself; the referee disguises it")
    if task not in TASKS:
        raise UsageError(f"no task {task!r}", list_choices(task, TASKS))
    for name in models:
        if MODELS[name].is_own and MODELS[name].own.checkpoints:
            raise UsageError(f"model {name!r} is finished weights", "hand over the recipe: a factory, and a fit")
    own = [f"model {name!r}" for name in models if MODELS[name].definition]
    own += [] if isinstance(TASKS[task], str) else [f"task {task!r}"]
    for what in own:
        cause = f"{what} lives in this process only, where a referee sees nothing"
        raise UnavailableError(cause, "write it into a file, and name it FILE.py:factory, or the file")


def _list_cells(task: str, model: str, n_seeds: int) -> list[Cell]:
    n = n_seeds * get_task(task).n_folds
    return [Cell(kind="train", task=task, model=model, seed_index=index) for index in range(n)]


def _check(model: str, disguised: str, store: Store, suite: Suite, margin: float) -> RefereedModel:
    """Ask fresh processes about the files, and put the checks together."""
    n_seeds, (_, plain) = suite.n_seeds, suite.tasks
    stored = {attempt.record.cell: attempt.record for attempt in store.current().values() if attempt.record}
    records = {name: [stored[cell] for cell in _list_cells(name, model, n_seeds)] for name in suite.tasks}
    with Worker() as worker:  # files first: code of the user's comes into this process with the fresh network
        files = [file for name in suite.tasks for file in worker.ask(_name_files(name, records[name], store))]
        fresh = worker.ask(FreshRequest(task=plain, model=model))
    opened = [line for record in records[disguised] for line in record.details.get("opened", ())]
    made = (
        checks.check_seeds(files),
        _compare(model, disguised, plain, store, n_seeds, margin),
        checks.check_counted(fresh, files, MODELS[model].count_fixed(get_task(plain).input_shape)),
        checks.check_growth(fresh, files),
        checks.check_outside(opened, files),
        checks.check_source(fresh),
        checks.check_answers(files),
    )
    return RefereedModel(model, made)


def _name_files(task: str, records: Sequence[Record], store: Store) -> FilesRequest:
    """Name the files of trainings."""
    trainings = tuple(
        Training(
            seed_index=record.cell.seed_index,
            path=str(find_artifact(store.folder, record.artifact("onnx"))),
            scores=str(find_artifact(store.folder, record.artifact("test_scores"))),
        )
        for record in records
    )
    return FilesRequest(task=task, trainings=trainings)


def _compare(model: str, disguised: str, plain: str, store: Store, n_seeds: int, margin: float) -> Check:
    """Compare accuracies over seeds and over the same examples; the seeds are others, so they are not paired."""
    tasks = load_results(store).tasks
    hidden, shown = (
        read_answers(tasks[name].models[model].take(n_seeds), "test_accuracy") for name in (disguised, plain)
    )
    _check_same_examples(hidden, shown, plain, disguised)
    difference = estimate_difference(hidden.table, shown.table, is_paired=False, what=hidden.what)
    accuracies = float(hidden.table.mean()), float(shown.table.mean())
    return checks.check_disguise(difference, accuracies, margin)


def _check_same_examples(hidden: Answers, shown: Answers, plain: str, disguised: str) -> None:
    """Check that classes in disguise are those of the plain task, renamed, example by example."""
    nonce = disguised.rpartition(DISGUISE)[2]
    renamed = make_disguise(get_task(plain), nonce).rename(shown.labels.astype("i8"))
    is_same = hidden.table.shape[1] == shown.table.shape[1] and renamed.tolist() == hidden.labels.tolist()
    if not is_same:
        raise BenchError("the two were evaluated on different examples", "run both on the same data, with --fresh")
