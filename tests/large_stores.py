"""Large stores: the records of a small one under many seeds and names of models.

`python tests/large_stores.py SOURCE TARGET N_FIGURES` multiplies the results of a real run, with their files.
"""

import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from dlmi_bench.records import BOUNDS, Cell, Figure, Record
from dlmi_bench.store import Store

TASKS = ("usps", "spect", "own")
MODELS = tuple(f"mlp-{a}-{b}" for a in (12, 16, 24, 32, 48, 64, 96, 128) for b in (10, 12, 16, 24, 32))
BATCH = 500  # records of a transaction
SPREAD = 0.02  # of a value between seeds, as a factor


def multiply_figure(figure: Figure, random_: random.Random) -> Figure:
    """The figure of another seed: value and bounds by one factor, within what such a figure can be."""
    if figure.kind != "measured" or figure.value is None or figure.name.startswith("n_"):
        return figure
    factor = 1 + SPREAD * random_.uniform(-1, 1)
    most = next((bounds[1] for end, bounds in BOUNDS.items() if figure.name.endswith(end)), float("inf"))
    scaled = {
        name: min(most, factor * old) for name in ("value", "lo", "hi") if (old := getattr(figure, name)) is not None
    }
    return figure.model_copy(update=scaled)


def list_records(
    sources: Iterable[Record], *, tasks: Iterable[str] = TASKS, models: Iterable[str] = MODELS, n_seeds: int
) -> Iterator[Record]:
    """Trainings of every model and seed, then what was measured of every model, after the records of `sources`."""
    kinds: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in sources:
        kinds[record.cell.kind][record.cell.model].append(record)
    random_, names = random.Random(0), list(models)
    for task in tasks:
        for kind, by_model in kinds.items():
            found = list(by_model.values())
            for index in range(n_seeds if kind == "train" else 1):
                for number, model in enumerate(names):
                    record = found[number % len(found)][index % len(found[number % len(found)])]
                    yield _move(record, Cell(kind=record.cell.kind, task=task, model=model, seed_index=index), random_)


def _move(record: Record, cell: Cell, random_: random.Random) -> Record:
    figures = tuple(multiply_figure(figure, random_) for figure in record.figures)
    minute, second = divmod(random_.randrange(3600), 60)
    dated = record.provenance | ({"date": f"2026-11-{1 + cell.seed_index % 28:02}T10:{minute:02}:{second:02}"})
    details = record.details
    for kept in ("rounds_s", "singles_s"):  # keys of benchmarks do not name the model
        assert all(record.cell.model not in key for key in details.get(kept, {}))
    return record.model_copy(update={"cell": cell, "figures": figures, "provenance": dated})


def fill(store: Store, records: Iterable[Record]) -> int:
    """Add all records, a batch at a time; returns the number of figures."""
    n_figures, remaining = 0, iter(records)
    while batch := list(islice(remaining, BATCH)):
        store.add_done([(record, "f") for record in batch])
        n_figures += sum(len(record.figures) for record in batch)
    return n_figures


def main() -> None:
    source, target, n_wanted = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    current = Store(source, must_exist=True).current().values()
    records = [attempt.record for attempt in current if attempt.record]
    trainings = [record for record in records if record.cell.kind == "train"]
    per_seed = len(TASKS) * len(MODELS) * sum(len(r.figures) for r in trainings) / len(trainings)
    shutil.copytree(source / "artifacts", target / "artifacts", dirs_exist_ok=True)
    n_seeds = max(2, round(n_wanted / per_seed))
    print(n_seeds, "seeds,", fill(Store(target), list_records(records, n_seeds=n_seeds)), "figures")  # noqa: T201


if __name__ == "__main__":
    main()
