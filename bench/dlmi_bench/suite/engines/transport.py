"""The way between driver and node: what a process of the cluster calls to do a piece of work, and to end a run's.

It only passes orders on: a worker of the run does the work, with the code that lies on the node's disk now. Orders and
answers are JSON and files by their hash; the cluster's own protocol carries them as bytes.
"""

import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.jobs.plugins import ENVIRONMENT
from dlmi_bench.jobs.pool import ALLOCATOR
from dlmi_bench.jobs.worker import Worker, WorkerDeathError
from dlmi_bench.records import Artifact, Plain, Record
from dlmi_bench.search_path import USER_PATH, list_user_folders
from dlmi_bench.store.artifacts import put_artifact, read_artifact
from dlmi_bench.suite.engines.node import NodeRequest
from dlmi_tasks.files.folders import PPMI, WEIGHTS
from dlmi_tasks.spect.ppmi.options import VARIABLE

# What a driver's own workers would inherit. Where a node keeps its data is the node's business.
CARRIED = (ENVIRONMENT, PPMI, WEIGHTS, VARIABLE)
TOLD_EVERY_S = 1.0

Files = dict[str, bytes]  # contents by sha256


class Order(Plain):
    """A piece of work on its way to a node.

    Attributes:
        run: Name of the run: another one never gets this one's workers.
        settings: Variables of the environment of the worker that does it.
    """

    run: str
    name: str
    settings: dict[str, str]
    request: NodeRequest


class Parcel(Plain):
    """What comes back: records, or the error.

    Attributes:
        node: Name of the node.
        is_lost: Whether the worker died, so that it may end well elsewhere.
        log: What the worker printed.
    """

    node: str
    records: tuple[Record, ...] = ()
    error: str = ""
    remedy: str = ""
    is_usage: bool = False
    is_lost: bool = False
    log: str = ""


def pick_settings() -> dict[str, str]:
    """Pick what a node must know of this process: the user's code, by its folders, and folders of data."""
    found = {name: os.environ[name] for name in CARRIED if name in os.environ}
    return found | {USER_PATH: os.pathsep.join(list_user_folders())}


def list_artifacts(request: NodeRequest) -> list[Artifact]:
    """List the files that a request needs."""
    return [artifact for record in request.trained for artifact in record.artifacts]


def name_node() -> str:
    """Name of this process among those of a cluster."""
    return f"{socket.gethostname()}-{os.getpid()}"


def do_order(order: bytes, files: Files) -> tuple[bytes, Files]:
    """Do a piece of work in a process of the cluster. An error is an answer as well.

    Args:
        order: JSON of an `Order`.
        files: Contents of the files that it needs, by sha256.

    Returns:
        JSON of a `Parcel`, and the contents of the files that the work made.
    """
    asked = Order.model_validate_json(order)
    node = name_node()
    with TemporaryDirectory(prefix="dlmi-bench-") as folder, _lease(asked) as worker:
        request = asked.request.model_copy(update={"out": folder})
        try:
            for artifact in list_artifacts(request):
                put_artifact(Path(folder), artifact.role, files[artifact.sha256], artifact.suffix)
            records = worker.ask(request, _tell(asked))
            made = {a.sha256: read_artifact(Path(folder), a) for record in records for a in record.artifacts}
        except BenchError as error:
            is_lost, is_usage = isinstance(error, WorkerDeathError), isinstance(error, UsageError)
            parcel = Parcel(node=node, error=error.cause, remedy=error.remedy, is_usage=is_usage, is_lost=is_lost)
            made = {}
        else:
            parcel = Parcel(node=node, records=records)
        parcel = parcel.model_copy(update={"log": worker.take_log()})
    return parcel.model_dump_json().encode(), made


_LOCK = threading.Lock()
_IDLE: defaultdict[tuple[str, bool], list[Worker]] = defaultdict(list)  # by run, and whether their work is timed
_BUSY: defaultdict[str, set[Worker]] = defaultdict(set)


@contextmanager
def _lease(order: Order) -> Iterator[Worker]:
    """A worker of the run, which has its imports behind it where there was work before."""
    key = (order.run, order.request.is_timed)
    with _LOCK:
        worker = _IDLE[key].pop() if _IDLE[key] else None
    worker = worker or Worker(settings=order.settings | ({} if order.request.is_timed else ALLOCATOR))
    with _LOCK:
        _BUSY[order.run].add(worker)
    try:
        yield worker
    finally:
        with _LOCK:
            is_kept = worker in _BUSY[order.run] and worker.is_alive
            _BUSY[order.run].discard(worker)
            if is_kept:
                _IDLE[key].append(worker)
        if not is_kept:
            worker.close()


def end_run(run: str) -> None:
    """Kill the workers that a run has in this process."""
    with _LOCK:
        workers = [*_BUSY.pop(run, ()), *_IDLE.pop((run, True), ()), *_IDLE.pop((run, False), ())]
    for worker in workers:
        worker.kill()


def _tell(order: Order) -> Callable[[str, float], None]:
    """Make what tells the driver how far the work is, now and then."""
    from distributed import get_worker

    tell, said_s = get_worker().log_event, [0.0]

    def on_progress(_: str, fraction: float) -> None:
        if time.monotonic() - said_s[0] >= TOLD_EVERY_S:
            said_s[0] = time.monotonic()
            tell(order.run, {"name": order.name, "node": name_node(), "fraction": fraction})

    return on_progress
