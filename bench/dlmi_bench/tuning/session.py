"""A session of tuning: trials that are stored and still hold are kept, the others are done, each is stored at once."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from pydantic import JsonValue

from dlmi_bench.errors import BenchError
from dlmi_bench.instruments.host.provenance import describe_environment
from dlmi_bench.jobs.plugins import describe_plugins
from dlmi_bench.jobs.pool import Ended, Pool
from dlmi_bench.jobs.protocol import TuneRequest
from dlmi_bench.jobs.worker import run_here
from dlmi_bench.records import Cell, Record
from dlmi_bench.stats.tuning import Trial, Tried, describe_tried, read_trial
from dlmi_bench.store import Store
from dlmi_bench.tuning.fingerprint import compute_fingerprint
from dlmi_bench.tuning.grid import list_trials
from dlmi_bench.units import format_percent
from dlmi_models import MODELS, ModelEntry
from dlmi_tasks import TASKS, get_task
from dlmi_tasks.spec import Task

Say = Callable[[str], None]


@dataclass
class TunedModel:
    """A model with the records of its trials in their order, or why its recipe cannot be tuned."""

    task: str
    model: str
    obstacle: str = ""
    records: list[Record] = field(default_factory=list)

    @property
    def trials(self) -> list[Trial]:
        return [read_trial(record) for record in self.records]


@dataclass
class TuningOutcome:
    """All models that were asked for, numbers of trials kept and done, and why others did not start, by cell."""

    models: list[TunedModel]
    n_kept: int = 0
    n_done: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def tune_models(chosen: Sequence[tuple[str, str]], n_trials: int, store: Store, say: Say) -> TuningOutcome:
    """Try as many recipes for each pair (task, model), as far as the store does not have them.

    Raises:
        DataError, FetchError: a task's data cannot be had.
    """
    outcome = TuningOutcome([TunedModel(t, m, find_obstacle(MODELS[m], get_task(t))) for t, m in chosen])
    requests = _plan(outcome, n_trials)
    found = try_all(requests, outcome, store, say)
    for tuned in outcome.models:
        tuned.records = [found[r.cell] for r in requests if _is_of(r.cell, tuned) and r.cell in found]
    return outcome


def try_all(requests: Sequence[TuneRequest], outcome: TuningOutcome, store: Store, say: Say) -> dict[Cell, Record]:
    """Take the trials that the store has and do the others, each of which is stored at once; `outcome` counts them."""
    stored, said, prints = store.current(), describe_environment(), _fingerprint(requests)
    found: dict[Cell, Record] = {}
    for cell, request_print in prints.items():
        attempt = stored.get(cell.key)
        if attempt and attempt.record and attempt.status == "done" and attempt.fingerprint == request_print:
            found[cell] = attempt.record
    outcome.n_kept += len(found)
    todo = [request for request in requests if request.cell not in found]
    tried = {request.cell: request.tried for request in todo}
    with closing(_ask(todo)) as trials:
        for index, ended in enumerate(trials, 1):
            cell = ended.cell
            say(f"[{index:>{len(str(len(todo)))}}/{len(todo)}] {_describe(ended, tried[cell])}")
            if isinstance(ended.result, BenchError):
                store.add_failed([(cell.key, prints[cell])], str(ended.result))
                outcome.failures[cell.key] = str(ended.result)
                continue
            own: dict[str, JsonValue] = {"plugins": [*describe_plugins([cell.task], [cell.model])]}
            provenance = said | own | {"took_s": ended.took_s} | ended.result.provenance
            found[cell] = ended.result.model_copy(update={"provenance": provenance})
            store.add_done([(found[cell], prints[cell])])
            outcome.n_done += 1
    return found


def find_obstacle(entry: ModelEntry, task: Task) -> str:
    """Find why there is no recipe to tune; empty where there is one."""
    if entry.is_own and entry.own.checkpoints:
        return "not available: the weights come from elsewhere"
    if task.fit or (entry.is_own and entry.own.fit):
        return "not available: fit takes no recipe"
    return ""


def _plan(outcome: TuningOutcome, n_trials: int) -> list[TuneRequest]:
    """Plan the trials, those of all models in turn, so that budgets are equal whenever it is stopped."""
    requests = []
    for tuned in outcome.models:
        trials = [] if tuned.obstacle else list_trials(get_task(tuned.task).recipe(tuned.model), n_trials)
        for index, tried in enumerate(trials):
            cell = Cell(kind="tuning", task=tuned.task, model=tuned.model, seed_index=index)
            requests.append(TuneRequest(cell=cell, tried=tried))
    return sorted(requests, key=lambda request: request.cell.seed_index)


def _fingerprint(requests: Sequence[TuneRequest]) -> dict[Cell, str]:
    """Fingerprints of trials. Data are read here, while all CPUs are free; the workers find them kept."""
    prints, hashes = {}, {}
    for request in requests:
        cell, task = request.cell, get_task(request.cell.task)
        if cell.task not in hashes:
            hashes[cell.task] = task.load().sha256
        if task.load_pool and MODELS[cell.model].start == "synthetic":
            task.load_pool()
        prints[cell] = compute_fingerprint(request, task, hashes[cell.task])
    return prints


def _ask(requests: Iterable[TuneRequest]) -> Generator[Ended]:
    """Try side by side; one by one, in this process, what no other process has."""
    here: list[TuneRequest] = []
    others: list[TuneRequest] = []
    for request in requests:
        cell = request.cell
        is_here_only = bool(MODELS[cell.model].definition) or not isinstance(TASKS[cell.task], str)
        (here if is_here_only else others).append(request)
    with Pool(others) as pool:
        yield from pool.wait(lambda *_: None)
    for request in here:
        try:
            result: Record | BenchError = run_here(request, lambda *_: None)
        except BenchError as error:
            result = error
        yield Ended(request, result, 0.0)


def _describe(ended: Ended, tried: Tried) -> str:
    if isinstance(ended.result, BenchError):
        came = ended.result.cause.splitlines()[0]
    else:
        trial = read_trial(ended.result)
        accuracy = trial.validation_accuracy
        came = trial.reason if accuracy is None else f"validation {format_percent(accuracy)} %"
    return f"{ended.cell.task}: {ended.cell.model}, {describe_tried(tried)}: {came} ({ended.took_s:.1f} s)"


def _is_of(cell: Cell, tuned: TunedModel) -> bool:
    return (cell.task, cell.model) == (tuned.task, tuned.model)
