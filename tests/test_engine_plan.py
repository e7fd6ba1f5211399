"""A plan on paper: 10 000 trainings on 200 nodes by a fake clock, with the real runner and a real store."""

import heapq
import random
import time
from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.suite.engines import Ended, Patience, Running, Work
from dlmi_bench.suite.pace import OTHER_TRAINING_S, TRAINING_S
from dlmi_bench.suite.runner import Runner
from dlmi_bench.suite.suites import Suite
from test_runner import Quiet

pytestmark = pytest.mark.slow

MODELS = (
    "softmax",
    "mlp-64-32",
    "mlp-512-256",
    "lecun-1989",
    "cnn-4",
    "cnn-16",
    "cnn-32",
    "mlp-16-12",
    "vit-8-2-2",
    "conv-4-4-4",
)
N_NODES, N_CPUS, N_SEEDS = 200, 16, 1000
SHARED = Figure(name="shared_training_s", value=1, kind="measured", source="x")


@dataclass
class PaperEngine:
    """Nodes whose work takes its typical time, -10 to +30 %; one try in a hundred is lost on the way.

    Attributes:
        scale: Of the typical times.
        busy_s: Time of trainings that ended, on all CPUs [s].
        end_s: When the last one ended [s].
        driver_s: Real time that the driver took to keep them [s].
    """

    scale: float
    has_nodes = True
    n_lost: int = 0
    busy_s: float = 0.0
    end_s: float = 0.0
    driver_s: float = 0.0
    order: random.Random = field(default_factory=lambda: random.Random(0))

    def count_places(self, *, is_timed: bool) -> int:
        return N_NODES if is_timed else N_NODES * N_CPUS

    def list_running(self) -> list[Running]:
        return []

    def run(self, _: object, works: Collection[Work], __: object, ___: float | None = None) -> Generator[Ended]:
        free, ends = [0.0] * (N_NODES * N_CPUS), []
        for index, work in enumerate(works):
            took_s, n_lost = self.draw(work)
            begin_s = heapq.heappop(free)
            heapq.heappush(free, begin_s + took_s)
            ends.append((begin_s + took_s, index, work, n_lost))
        for self.end_s, _, work, n_lost in sorted(ends):
            begin_s = time.perf_counter()
            yield Ended(work, [make_record(work.cells[0])], 1.0, "node", "", n_lost)
            self.driver_s += time.perf_counter() - begin_s

    def draw(self, work: Work) -> tuple[float, int]:
        """Draw the time from the first try to the end [s], and the tries that were lost."""
        typical_s = self.scale * TRAINING_S.get(work.cells[0].model, OTHER_TRAINING_S)
        lost_s, n_lost = 0.0, 0
        while n_lost < len(Patience.PAUSES_S) and self.order.random() < 0.01:
            lost_s += typical_s * self.order.random() + Patience.PAUSES_S[n_lost]
            n_lost += 1
        self.n_lost += n_lost
        own_s = typical_s * self.order.uniform(0.9, 1.3)
        self.busy_s += own_s
        return lost_s + own_s, n_lost

    def close(self) -> None:
        pass


def make_record(cell: Cell) -> Record:
    curve: list[dict[str, int | float | None]] = [{"epoch": i, "validation_accuracy": 0.9} for i in range(30)]
    provenance = {"machine_id": "there", "data": {"sha256": {}}}
    return Record(cell=cell, figures=(SHARED,) * 12, provenance=provenance, details={"judged": {}, "curve": curve})


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_ten_thousand_trainings_on_two_hundred_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    """Each is kept once, whatever was lost; a second run keeps all; the nodes are busy nearly all the time."""
    store, engine = Store(tmp_path), PaperEngine(scale)
    monkeypatch.setattr("dlmi_bench.suite.runner.list_judged", lambda *_, **__: {})
    cells = [Cell(kind="train", task="usps", model=m, seed_index=i) for i in range(N_SEEDS) for m in MODELS]
    outcome = make_runner(store, engine).train(cells, Quiet())
    n_cells = len(cells)
    assert (outcome.n_done, outcome.n_lost) == (n_cells, engine.n_lost)
    assert len(store.rows()) == len(store.current()) == n_cells
    assert make_runner(store, engine).train(cells, Quiet()).n_kept == n_cells
    ideal_s = engine.busy_s / (N_NODES * N_CPUS)
    longest_s = scale * max(TRAINING_S.get(m, OTHER_TRAINING_S) for m in MODELS) * 1.3
    assert engine.end_s < ideal_s + 2 * longest_s + sum(Patience.PAUSES_S)
    print(  # noqa: T201 - for the closing line of the slow session
        f"typical times x {scale:g}: all CPUs busy {ideal_s:.0f} s, last one ended {engine.end_s:.0f} s, driver "
        f"{engine.driver_s:.0f} s ({engine.driver_s / n_cells * 1e3:.1f} ms a cell), {engine.n_lost} lost"
    )
    store.close()


def make_runner(store: Store, engine: PaperEngine) -> Runner:
    runner = Runner(
        Suite(tasks=("usps",), models=MODELS, measures=(), n_seeds=N_SEEDS, n_timed=1), store, engine=engine
    )
    runner._data.prepare = lambda *_: None  # type: ignore[method-assign]
    runner._data.described = {"usps": {"sha256": {}}}
    return runner
