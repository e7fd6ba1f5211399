"""Stores of made-up figures for the tests of reports, with names that are markup everywhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from dlmi_bench.records import Cell, Figure, Record, unavailable
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import put_array
from dlmi_bench.store.pictures import make_pictures

CPU: dict[str, str | int | float | bool] = {"component": "cpu", "idle_subtracted": False}
HOSTILE = (
    "<script>alert(1)</script>",
    r"\input{x}",
    "n" * 200,
    "\u05d0\u05d1\u05d2\u202eevil",
    "$x$ & _y_ [a](b) | `c`",
)
PROVENANCE = {
    "data": {"name": "toy", "source": "nowhere", "sha256": {"test": "ab"}, "is_synthetic": True, "note": "A toy."},
    "splits": {"train": 80, "test": 100},
    "target": {"validation_accuracy": 0.95, "test_accuracy_published": 0.944, "source": "a paper"},
    "machine": {"cpu": "abacus"},
    "machine_id": "m1",
    "commit": "c0ffee",
}
# Two kinds of machine, on the second of which the same takes a hundred times as long.
FAST, SLOW = "Acme Fast 1000, 2 CPUs", "Bolt Slow 2000, 4 of 8 CPUs"
MACHINES: dict[str, dict[str, JsonValue]] = {
    FAST: {"machine": {"cpu": "Acme(R) Fast 1000 CPU", "n_cpus": 2, "n_cpus_allowed": 2}, "machine_id": "fast"},
    SLOW: {"machine": {"cpu": "Bolt Slow 2000", "n_cpus": 8, "n_cpus_allowed": 4}, "machine_id": "slow"},
    "third": {"machine": {"cpu": "Third 3000", "n_cpus": 1, "n_cpus_allowed": 1}, "machine_id": "third"},
}


def accuracy(name: str, value: float) -> Figure:
    return Figure(name=name, value=value, kind="measured", source="file", n=100)


def train_record(model: str, index: int, test: float, time_s: float | None) -> Record:
    reached = (
        unavailable("time_to_target_s", "censored")
        if time_s is None
        else Figure(name="time_to_target_s", value=time_s, kind="measured", source="c")
    )
    figures = (
        accuracy("test_accuracy", test),
        accuracy("validation_accuracy", min(1.0, test + 0.02)),
        reached,
        reached.model_copy(update={"name": "epochs_to_target"}),
        Figure(name="training_s", value=4.0 + index, kind="measured", source="c"),
        Figure(name="training_energy_j", value=8.0, kind="modelled", source="cpu_load_model", conditions=CPU),
    )
    curve = [{"epoch": i, "training_s": float(i), "validation_accuracy": test * i / 4} for i in range(5)]
    right = round(100 * test)
    left = right // 2
    confusion = [[left, 50 - left], [50 - right + left, right - left]]
    content = {
        "cell": Cell(kind="train", task="toy", model=model, seed_index=index),
        "figures": figures,
        "artifacts": [{"role": "onnx", "sha256": "d" * 64, "size_bytes": 3, "suffix": ".onnx"}],
        "provenance": PROVENANCE,
        "details": {"curve": curve, "confusion": confusion, "class_names": ["well", "ill"]},
    }
    return Record.model_validate(content)


def move(record: Record, kind: str) -> Record:
    """The record as measured on a kind of machine."""
    return record.model_copy(update={"provenance": record.provenance | MACHINES[kind]})


def train_on(kind: str, model: str, index: int, test: float, training_s: float, time_s: float | None) -> Record:
    """A training on a kind of machine, with twice as many joules as seconds."""
    record, values = train_record(model, index, test, time_s), {"training_s": 1, "training_energy_j": 2}
    figures = [
        f.model_copy(update={"value": training_s * values[f.name]}) if f.name in values else f for f in record.figures
    ]
    return move(record.model_copy(update={"figures": tuple(figures)}), kind)


def keep_answers(folder: Path, record: Record, wrong: Sequence[int], *, first: int = 0) -> Record:
    """The record with answers to 100 test examples of two classes in turn from `first`, wrong on those named."""
    labels = (first + np.arange(100)) % 2
    scores = np.eye(2, dtype=np.float32)[labels]
    scores[list(wrong)] = scores[list(wrong), ::-1]
    arrays = {"test_scores": scores, "test_labels": labels}
    kept = tuple(put_array(folder, role, array) for role, array in arrays.items())
    return record.model_copy(update={"artifacts": (*record.artifacts, *kept)})


def keep_pictures(record: Record) -> Record:
    """The record with four pictures: of `well` two right and one wrong, of `ill` one right."""
    images = np.linspace(0, 1, 4 * 6 * 5).reshape(4, 6, 5)
    scores = np.log([[3, 1], [4, 1], [1, 9], [1, 4]])
    pictures = make_pictures([0, 2, 4, 5], images, images[::-1], np.array([0, 0, 0, 1]), scores)
    kept: list[JsonValue] = [picture.model_dump() for picture in pictures]
    return record.model_copy(update={"details": record.details | {"pictures": kept}})


def keep_singles(record: Record, *processes: Sequence[float]) -> Record:
    """A latency record with single calls of each process [s]."""
    kept: JsonValue = {"onnxruntime, batch 1, threads 1": [list(calls) for calls in processes]}
    return record.model_copy(update={"details": record.details | {"singles_s": kept}})


def measured_records(model: str, n_parameters: int, latency_s: float, session: str = "s") -> list[Record]:
    identity: dict[str, str | int | float | bool] = {"backend": "onnxruntime", "batch": 1, "threads": 1}
    latency = Figure(
        name="latency_s", value=latency_s, lo=latency_s * 0.98, hi=latency_s * 1.3, n=5, kind="measured",
        source="c", conditions=identity, notes=("mixed: processes range over 1.33 x",),
        samples=tuple(latency_s * f for f in (0.98, 1.0, 1.0, 1.01, 1.3)),
    )  # fmt: skip
    counts = Figure(name="n_parameters", value=n_parameters, kind="counted", source="torch")
    where = {"machine_id": "m1", "machine": {"cpu": "abacus"}}
    return [
        Record(
            cell=Cell(kind="latency", task="toy", model=model),
            figures=(latency,),
            provenance=where,
            details={"session": session},
        ),
        Record(cell=Cell(kind="counts", task="toy", model=model), figures=(counts,), provenance=where),
    ]


def fill_store(folder: Path) -> Store:
    """`small`, `large`, and the hostile ones, two seeds each, one of them censored, and a failure."""
    store = Store(folder)
    for index, model in enumerate(("small", "large", *HOSTILE)):
        first, second = (train_record(model, i, 0.8 + 0.02 * index + 0.01 * i, None if i else 1.0) for i in range(2))
        latency, counts = measured_records(model, 1000 * (index + 1) ** 3, 1e-5 * (index + 1))
        calls = [[1e-5 * (index + 1) * (1 + i / 100) for i in range(n, n + 20)] for n in range(3)]
        records = [keep_pictures(first), second, keep_singles(latency, *calls), counts]
        store.add_done([(record, "f") for record in records])
    store.add_failed([("train/toy/<i>worse</i>/0", "f")], "out of memory\n  remedy: buy some")
    return store
