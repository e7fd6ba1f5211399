"""The plain record: strict, complete, reproducible."""

import pytest
from pydantic import ValidationError

from dlmi_bench.records import Benchmark, Cell, Figure, Mark, Note, Record, list_marks, unavailable


def test_figure_without_value_needs_a_reason() -> None:
    """None means not available, and says why; it is never a silent gap."""
    with pytest.raises(ValidationError, match="neither a value nor a reason"):
        Figure(name="latency_s", value=None, kind="measured", source="x")
    assert unavailable("latency_s", "no such device").reason == "no such device"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figure_refuses_what_is_not_a_number(value: float) -> None:
    """NaN and infinity never reach a table."""
    with pytest.raises(ValidationError):
        Figure(name="latency_s", value=value, kind="measured", source="x")


def test_figure_refuses_crossed_bounds_and_unknown_fields() -> None:
    """A wrong interval or a misspelt field is an error, not a figure."""
    with pytest.raises(ValidationError, match="lo"):
        Figure(name="a_s", value=1, lo=2, hi=1, kind="measured", source="x")
    with pytest.raises(ValidationError, match="vlaue"):
        Figure.model_validate({"name": "a_s", "vlaue": 1, "kind": "measured", "source": "x"})


def test_seeds_come_from_the_identity() -> None:
    """Seeds differ between cells, agree between runs, and fit into 31 bits."""
    seeds = {Cell(kind="train", task=t, model=m, seed_index=i).seed for t in "ab" for m in "cd" for i in range(50)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert Cell(kind="train", task="usps", model="mlp-64-32").seed == 1901048627


def test_record_survives_json() -> None:
    """What is written is what is read."""
    figure = Figure(name="a_s", value=1.5, kind="measured", source="x", conditions={"batch": 1}, samples=(1.0, 2.0))
    record = Record(cell=Cell(kind="latency", task="t", model="m"), figures=(figure,))
    assert Record.model_validate_json(record.model_dump_json()) == record
    assert record.figure("a_s", batch=1) == figure
    assert record.figure("a_s", batch=2) is None


@pytest.mark.parametrize("text", ["noisy: a neighbour", "INVALID: a: b", "not counted: aten.x x 2", "noisy", ""])
def test_notes_are_strings_in_files(text: str) -> None:
    """A note survives JSON as its text; a first word that is no mark belongs to the text."""
    figure = Figure.model_validate({"name": "a_s", "value": 1, "kind": "measured", "source": "x", "notes": [text]})
    assert figure.model_dump(mode="json")["notes"] == [text]
    assert Figure.model_validate_json(figure.model_dump_json()) == figure
    assert (figure.notes[0].mark is not None) == (text.partition(": ")[0] in ("noisy", "INVALID") and ": " in text)


def test_marks_beside_a_value_have_one_order_and_no_discarded_rounds() -> None:
    """Marks of all figures that a value rests on, once each; `throttled` is told in the notes only."""
    notes = tuple(map(Note.parse, ("INVALID: a", "throttled: b", "vacuous: c", "mixed: d")))
    first = Figure(name="a_s", value=1, kind="measured", source="x", notes=notes)
    second = Figure(name="b_s", value=1, kind="measured", source="x", notes=(Note(Mark.NOISY, "e"), notes[0]))
    assert list_marks(first, None, second) == ["mixed", "noisy", "vacuous", "INVALID"]


def test_benchmark_key_is_the_one_in_stored_records() -> None:
    """Stores of earlier versions keep rounds and single calls under this text."""
    assert Benchmark("mlp-64-32", "onnxruntime", batch=64, n_threads=2).key == "onnxruntime, batch 64, threads 2"
