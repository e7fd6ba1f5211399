"""Work that is sent to nodes: what is sent, what comes back, what is lost, and what a node refuses."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import LocalCluster

from dlmi_bench.errors import BenchError, UnavailableError, UsageError
from dlmi_bench.instruments.host.provenance import compute_machine_id
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Artifact, Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import artifact_path
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.engines import Ended, Patience, Work, join_works
from dlmi_bench.suite.engines import dask as engines
from dlmi_bench.suite.engines.dask import EXCLUSIVE, DaskEngine, connect
from dlmi_bench.suite.engines.node import NodeRequest, run_node_job
from dlmi_bench.suite.engines.opening import open_engine
from dlmi_bench.suite.engines.options import DaskOptions, SlurmOptions, parse_options
from dlmi_bench.suite.engines.orders import make_order
from dlmi_bench.suite.engines.transport import Files, Order, Parcel
from dlmi_bench.suite.fingerprint import fingerprint_cell
from dlmi_bench.suite.plan import make_steps, make_waves
from dlmi_bench.suite.suites import Suite

SUITE = Suite(tasks=("usps",), models=("softmax", "mlp-16-12"), measures=("counts", "memory"), n_seeds=3, n_timed=1)
CONTENT = b"weights"
IN_PROCESS: dict[str, Any] = {"processes": False, "dashboard_address": "127.0.0.1:0"}


def make_work(index: int, model: str = "softmax", *, is_timed: bool = False) -> Work:
    return Work("train", (Cell(kind="train", task="usps", model=model, seed_index=index),), is_timed)


@dataclass
class Node:
    """Stands for what a node does: answers with a record and a file, or as `answers` says, by seed, one try each."""

    answers: dict[int, list[Parcel]] = field(default_factory=dict)
    asked: list[Order] = field(default_factory=list)
    content: bytes = CONTENT
    do: Callable[[Order], None] = lambda _: None

    def __call__(self, order: bytes, files: Files) -> tuple[bytes, Files]:
        asked = Order.model_validate_json(order)
        self.asked.append(asked)
        self.do(asked)
        waiting = self.answers.get(asked.request.cells[0].seed_index)
        parcel = waiting.pop(0) if waiting else Parcel(node="n1", records=make_records(asked), log="a line\n")
        return parcel.model_dump_json().encode(), {make_artifact().sha256: self.content}


NODES: list[Node] = []  # the last one is in use; what is sent is pickled, so that it cannot carry one


def answer(order: bytes, files: Files) -> tuple[bytes, Files]:
    return NODES[-1](order, files)


def make_artifact() -> Artifact:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return Artifact(role="onnx", sha256=sha256, size_bytes=len(CONTENT), suffix=".onnx")


def make_records(order: Order) -> tuple[Record, ...]:
    figure = Figure(name="shared_training_s", value=1, kind="measured", source="x")
    there = {"machine_id": "there", "data": {"sha256": {}}}
    made = (make_artifact(),)
    return tuple(Record(cell=c, figures=(figure,), artifacts=made, provenance=there) for c in order.request.cells)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    NODES.append(Node())
    monkeypatch.setattr(engines, "do_order", answer)
    monkeypatch.setattr(Patience, "PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(engines, "LOOK_S", 0.05)
    return NODES[-1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster in this process, of one node with two places."""
    own = {EXCLUSIVE: 1}
    made = LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, resources=own, dashboard_address="127.0.0.1:0"
    )
    yield made
    made.close()


@pytest.fixture
def engine(cluster: LocalCluster, tmp_path: Path, node: Node) -> Iterator[DaskEngine]:
    made = connect(cluster.scheduler_address, tmp_path, 10)
    yield made
    made.close()


@pytest.fixture
def context(tmp_path: Path) -> SuiteContext:
    data = TaskData(SUITE.tasks)
    data.described = {"usps": {"sha256": {}}}
    return SuiteContext(SUITE, tmp_path, data)


def run(engine: DaskEngine, context: SuiteContext, *works: Work, deadline_s: float | None = None) -> list[Ended]:
    return list(engine.run(context, works, lambda *_: None, deadline_s))


def test_every_piece_comes_back_with_its_file(engine: DaskEngine, context: SuiteContext, node: Node) -> None:
    """Seven trainings on two places: each is sent once, and its file lies in the store's folder."""
    works = [make_work(index) for index in range(7)]
    ended = run(engine, context, *works)
    assert sorted(one.work.cells[0].seed_index for one in ended) == list(range(7))
    assert len(node.asked) == 7
    assert {one.place for one in ended} == {"n1"}
    assert {one.log for one in ended} == {"a line\n"}
    assert artifact_path(context.folder, make_artifact()).read_bytes() == CONTENT
    assert engine.count_places(is_timed=False) == 2
    assert engine.count_places(is_timed=True) == 1


def test_timed_work_has_a_node_to_itself(engine: DaskEngine, context: SuiteContext, node: Node) -> None:
    """Two places, yet never two timed trainings at once."""
    now, most = [0], [0]

    def count(_: Order) -> None:
        now[0] += 1
        most[0] = max(most[0], now[0])
        time.sleep(0.05)
        now[0] -= 1

    node.do = count
    run(engine, context, *(make_work(index, is_timed=True) for index in range(4)))
    assert most == [1]
    run(engine, context, *(make_work(index) for index in range(8)))
    assert most == [2]


LOST = Parcel(node="n1", error="worker died (signal SIGKILL)", remedy="", is_lost=True)


def test_what_is_lost_is_done_again_three_times(engine: DaskEngine, context: SuiteContext, node: Node) -> None:
    """Of two losses a line in the log is left; of four an error, and no other seed of that model waits."""
    node.answers = {0: [LOST, LOST], 1: [LOST] * 9}
    ended = run(engine, context, make_work(0), make_work(1, "mlp-16-12"))
    first, second = sorted(ended, key=lambda one: one.cells[0].seed_index)
    assert first.n_lost == 2
    assert first.log == "lost: n1: worker died (signal SIGKILL)\n" * 2 + "a line\n"
    assert isinstance(second.result, BenchError)
    assert "lost again and again: n1: worker died" in second.result.cause
    assert second.n_lost == 4
    node.answers = {2: [LOST] * 9}
    (third,) = run(engine, context, make_work(2, "mlp-16-12"))
    assert third.n_lost == 1


def test_error_of_a_node_is_an_answer(engine: DaskEngine, context: SuiteContext, node: Node) -> None:
    """It names the node, is not tried again, and leaves the others."""
    node.answers = {1: [Parcel(node="n1", error="diverged", remedy="smaller steps")]}
    found = {one.cells[0].seed_index: one.result for one in run(engine, context, make_work(0), make_work(1))}
    assert str(found[1]) == "n1: diverged\n  remedy: smaller steps"
    assert len(node.asked) == 2
    assert not isinstance(found[0], BenchError)


@pytest.mark.parametrize(
    ("content", "cell", "expected"),
    [
        (b"other", 0, "its onnx file is not what its record says"),
        (CONTENT, 5, "it is about other cells"),
    ],
)
def test_what_a_node_says_is_checked(
    engine: DaskEngine, context: SuiteContext, node: Node, content: bytes, cell: int, expected: str
) -> None:
    """A file that is not that of its hash, and an answer to another question."""
    node.content = content
    if cell:
        other = Order(run="", name="", settings={}, request=make_request(context, cell))
        node.answers = {0: [Parcel(node="n1", records=make_records(other))]}
    (ended,) = run(engine, context, make_work(0))
    assert isinstance(ended.result, BenchError)
    assert expected in ended.result.cause


def make_request(context: SuiteContext, index: int, **changed: object) -> NodeRequest:
    order, _ = make_order(context, make_work(index), run="r", name="n", settings={})
    return Order.model_validate_json(order).request.model_copy(update=changed)


def test_nothing_starts_after_the_deadline(engine: DaskEngine, context: SuiteContext, node: Node) -> None:
    """What did not start is left out, so that a later run does it."""
    assert run(engine, context, make_work(0), deadline_s=0.0) == []
    assert node.asked == []


def test_lost_nodes_are_looked_after_while_others_answer(
    engine: DaskEngine, context: SuiteContext, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only while nothing happens: on a large cluster something always does."""
    mended: list[int] = []
    monkeypatch.setattr(engine, "_mend", lambda: mended.append(len(node.asked)))
    run(engine, context, *(make_work(index) for index in range(5)))
    assert mended
    assert min(mended) < 5


def test_way_out_ends_what_was_sent(engine: DaskEngine, context: SuiteContext, node: Node) -> None:
    """Leaving at the first result, as Ctrl-C does: nothing is under way any more."""
    running = engine.run(context, [make_work(index) for index in range(9)], lambda *_: None)
    next(running)
    running.close()
    assert engine.list_running() == []
    assert not engine._sent


def test_node_with_other_code_or_data_refuses(context: SuiteContext) -> None:
    """Before any work: by what decides the result, and the package that differs is named."""
    context.data.read("usps", lambda *_: None)
    good = make_request(context, 0)
    versions = good.versions | {"torch": "1.0"}
    wrong = good.model_copy(update={"expected": dict.fromkeys(good.expected, "other"), "versions": versions})
    with pytest.raises(UsageError, match=r"driver and node differ: torch 1\.0 -> "):
        run_node_job(wrong, lambda *_: None)
    with pytest.raises(UsageError, match="node has other code or other data"):
        run_node_job(wrong.model_copy(update={"versions": good.versions}), lambda *_: None)


def test_order_takes_the_files_that_are_measured(context: SuiteContext, tmp_path: Path) -> None:
    """What measures a training carries its record and its file, and what decides the result on no machine."""
    artifact_path(tmp_path, make_artifact()).parent.mkdir(parents=True)
    artifact_path(tmp_path, make_artifact()).write_bytes(CONTENT)
    cell = Cell(kind="memory", task="usps", model="softmax")
    figure = Figure(name="a_s", value=1, kind="measured", source="x")
    trained = Record(cell=make_work(0).cells[0], figures=(figure,), artifacts=(make_artifact(),))
    context.trained["usps", "softmax"] = trained
    order, files = make_order(context, Work("memory", (cell,)), run="r", name="n", settings={"A": "b"})
    request = Order.model_validate_json(order).request
    assert request.trained == (trained,)
    assert files == {make_artifact().sha256: CONTENT}
    assert request.expected == {cell.key: fingerprint_cell(context, cell, machine="")}
    assert fingerprint_cell(context, cell, machine="") != fingerprint_cell(context, cell)
    assert fingerprint_cell(context, cell, machine=compute_machine_id()) == fingerprint_cell(context, cell)


def test_waves_train_first_and_compare_on_one_node() -> None:
    """Timed trainings, those for accuracies alone, then measurements: all models of a kind are one piece."""
    waves = make_waves(make_steps(SUITE))
    kinds = [{(step.kind, step.is_timed) for step in wave} for wave in waves]
    assert kinds == [{("train", True)}, {("train", False)}, {("counts", True), ("memory", True)}]
    works = [Work(step.kind, step.cells) for step in waves[2]]
    joined = join_works([*works, make_work(0), make_work(1)])
    assert [(work.kind, len(work.cells)) for work in joined] == [
        ("counts", 2),
        ("memory", 2),
        ("train", 1),
        ("train", 1),
    ]


def test_options_are_checked(tmp_path: Path) -> None:
    """By name, kind and file; a later word replaces an earlier one, and commands of `setup` are listed."""
    file = tmp_path / "slurm.toml"
    file.write_text('nodes = 4\npartition = "cpu"\n')
    found = parse_options([str(file), "nodes=8", "setup=module load a", "setup=module load b"], SlurmOptions, "slurm")
    assert (found.nodes, found.partition, found.setup) == (8, "cpu", ("module load a", "module load b"))
    for words, expected in (
        (["node=3"], "no such option"),
        (["nodes"], "no such option"),
        (["nodes=many"], "nodes: Input should be a valid integer"),
        (["nodes=0"], "nodes: Input should be greater than or equal to 1"),
        ([str(tmp_path / "none.toml")], "No such file"),
    ):
        with pytest.raises(UsageError, match=expected):
            parse_options(words, SlurmOptions, "slurm")


def test_engines_that_cannot_be_had_say_why(tmp_path: Path) -> None:
    """A name that is none, options of the machine itself, and a scheduler that does not answer."""
    with pytest.raises(UsageError, match="--executor dusk: no such engine"):
        open_engine("dusk", [], tmp_path)
    with pytest.raises(UsageError, match="this machine has no options"):
        open_engine("local", ["nodes=3"], tmp_path)
    with pytest.raises(UnavailableError, match=r"no scheduler at tcp://127\.0\.0\.1:9"):
        open_engine("dask", ["scheduler=tcp://127.0.0.1:9", "patience_s=0.2"], tmp_path)
    assert DaskOptions().scheduler == ""


@pytest.mark.parametrize(
    ("resources", "n_workers", "expected"),
    [({}, 1, "no worker has the resource exclusive"), ({EXCLUSIVE: 1}, 2, "several workers with the resource")],
)
def test_nodes_that_cannot_be_timed_on_are_refused(
    tmp_path: Path, resources: dict[str, int], n_workers: int, expected: str
) -> None:
    """Nobody offers a whole node, or one machine is offered as two."""
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, resources=resources, **IN_PROCESS) as cluster,
        pytest.raises(UsageError, match=expected),
    ):
        connect(cluster.scheduler_address, tmp_path, 10)


def test_order_is_done_by_a_worker_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is kept for the run's next piece, and ended with the run; what it printed comes back."""
    from dlmi_bench.suite.engines import transport

    asked = []

    def ask(worker: Worker, request: NodeRequest, _: object) -> tuple[Record, ...]:
        asked.append(worker)
        return ()

    monkeypatch.setattr(Worker, "ask", ask)
    monkeypatch.setattr(transport, "_tell", lambda _: None)
    data = TaskData(SUITE.tasks)
    data.described = {"usps": {"sha256": {}}}
    order, _ = make_order(SuiteContext(SUITE, tmp_path, data), make_work(0), run="r1", name="n", settings={})
    for _ in range(2):
        content, files = transport.do_order(order, {})
        assert json.loads(content)["error"] == ""
        assert files == {}
    assert asked[0] is asked[1]
    transport.end_run("r1")
    asked[0]._process.wait(10)
    other = Order.model_validate_json(order).model_copy(update={"run": "r2"})
    transport.do_order(other.model_dump_json().encode(), {})
    assert asked[2] is not asked[0]
    transport.end_run("r2")
    asked[2]._process.wait(10)
    asked[0].close()
    asked[2].close()


def test_results_of_nodes_stay_current_for_nodes(
    engine: DaskEngine, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run on nodes keeps what the first one got, from whatever machine; this machine alone does not."""
    from dlmi_bench.suite.runner import Runner
    from test_runner import Quiet

    def prepare(runner: Runner) -> Runner:
        monkeypatch.setattr(runner._data, "prepare", lambda *_: None)
        runner._data.described = {"usps": {"sha256": {}}}
        return runner

    store = Store(tmp_path / "out")
    cells = [make_work(index).cells[0] for index in range(3)]
    monkeypatch.setattr("dlmi_bench.suite.runner.list_judged", lambda *_, **__: {})
    assert prepare(Runner(SUITE, store, engine=engine)).train(cells, Quiet()).n_done == 3
    assert prepare(Runner(SUITE, store, engine=engine)).train(cells, Quiet()).n_kept == 3
    here = prepare(Runner(SUITE, store))
    stored = store.current()
    assert here._find_reason(cells[0], stored[cells[0].key], is_timed=False) == "measured on another machine"
    store.close()
