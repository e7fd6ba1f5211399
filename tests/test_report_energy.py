"""Tables of energy: gross beside net, kinds kept apart, and when a training has paid for itself."""

import json
from pathlib import Path

import pytest

from dlmi_bench.records import Cell, Figure, Note, Record
from dlmi_reports.formats.boamps import write_boamps
from dlmi_reports.formats.mlbom import make_mlbom
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.tables.energy import compute_break_even, make_break_even_tables, make_source_table
from dlmi_reports.tables.overview import list_notes, make_inference_table, make_training_table


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ((100.0, 1.0, 40.0, 3.0), ("after", 30.0)),  # 60 more to train, 2 less a use
        ((40.0, 3.0, 100.0, 1.0), ("until", 30.0)),
        ((40.0, 1.0, 100.0, 3.0), ("always", 0.0)),
        ((40.0, 1.0, 40.0, 3.0), ("always", 0.0)),
        ((100.0, 3.0, 40.0, 1.0), ("never", float("inf"))),
        ((100.0, 3.0, 40.0, 3.0), ("never", float("inf"))),
        ((40.0, 1.0, 40.0, 1.0), ("never", float("inf"))),
    ],
)
def test_break_even_by_hand(costs: tuple[float, float, float, float], expected: tuple[str, float]) -> None:
    """Total costs meet where train + n use are equal; each side of that is told."""
    assert compute_break_even(*costs) == expected


def test_total_costs_are_equal_at_break_even() -> None:
    """At n uses both have cost the same, just below and just above they have not."""
    _, n = compute_break_even(5.0, 0.25, 2.0, 0.5)
    assert 5.0 + 0.25 * n == 2.0 + 0.5 * n


def joules(name: str, gross: float, net: float, source: str, kind: str = "modelled") -> list[Figure]:
    conditions = {"component": "cpu", "scope": "machine"}
    return [
        Figure(name=name, value=value, kind=kind, source=source, method="one window of 3.0 s",
               conditions=conditions | {"idle_subtracted": is_net})  # type: ignore[arg-type]
        for value, is_net in ((gross, False), (net, True))
    ]  # fmt: skip


def model(name: str, n: int, train: float, use: float, source: str = "cpu_load_model") -> ModelResults:
    def record(kind: str, *figures: Figure) -> Record:
        return Record(cell=Cell(kind=kind, task="toy", model=name), figures=figures)  # type: ignore[arg-type]

    def timed(figure: str, value: float, **conditions: str | int) -> Figure:
        return Figure(name=figure, value=value, kind="measured", source="c", conditions=conditions)  # type: ignore[arg-type]

    training = record("train", timed("training_s", train), *joules("training_energy_j", 2 * train, train, source))
    latency = record("latency", timed("latency_s", use, backend="onnxruntime", batch=1, threads=1))
    energy = record("energy", *joules("inference_energy_j", 2000 * use, 1000 * use, source))
    counts = record("counts", Figure(name="n_parameters", value=n, kind="counted", source="torch"))
    return ModelResults(name, [training], {"latency": latency, "energy": energy, "counts": counts})


def make_task(*models: ModelResults, reference: str | None = None) -> TaskResults:
    return TaskResults("toy", {m.name: m for m in models}, chosen_reference=reference)


def test_gross_and_net_stand_side_by_side() -> None:
    """One row for each component and kind of work, with source and kind; nothing is added up."""
    table = make_source_table(make_task(model("small", 10, 4.0, 1e-3)))
    assert table.rows[0][:7] == ["small", "one training, first seed", "cpu", "8.00 J", "4.00 J", "modelled",
                                 "cpu_load_model"]  # fmt: skip
    assert table.rows[1][:5] == ["small", "1 000 inferences", "cpu", "2.00 J", "1.00 J"]
    assert len(table.rows) == 2


def test_noisy_joules_are_marked_wherever_they_stand() -> None:
    """One of two trainings had neighbours: its own value, the mean, the break-even and the notes below say so."""
    small, large = model("small", 10, 10.0, 1e-3), model("large", 1000, 4.0, 3e-3)
    quiet = small.trainings[0]
    note = "noisy: 34 % of the CPU time in the window was used by other processes"
    figures = (
        figure.model_copy(update={"notes": (Note.parse(note),)} if figure.name.endswith("_j") else {})
        for figure in quiet.figures
    )
    small.trainings[:] = [quiet.model_copy(update={"figures": tuple(figures)}), quiet]
    task = make_task(small, large)
    assert make_source_table(task).rows[0][3:5] == ["20.0 J (noisy)", "10.0 J (noisy)"]
    assert make_training_table(task).rows[0][-1] == "10.0 J (modelled, cpu_load_model) (noisy in 1 of 2)"
    assert make_break_even_tables(task)[0].rows[0][4] == "after 3 000 inferences (modelled, cpu_load_model, noisy)"
    assert list_notes(task) == [f"small: training_energy_j cpu: {note}"]


def test_noisy_energy_of_inferences_is_marked() -> None:
    """In the costs of inference, for gross and net; the joules' scope stands in the table by source."""
    one = model("small", 10, 10.0, 1e-3)
    figures = (
        figure.model_copy(update={"notes": (Note.parse("noisy: 34 %"),)}) for figure in one.measured["energy"].figures
    )
    one.measured["energy"] = one.measured["energy"].model_copy(update={"figures": tuple(figures)})
    assert make_inference_table(make_task(one)).rows[0][-1] == "1.00 J (modelled, cpu_load_model) (noisy)"
    table = make_source_table(make_task(one))
    assert {row[table.header.index("scope")] for row in table.rows} == {"machine"}


def test_break_even_against_the_largest_by_default() -> None:
    """Small: 10 s to train, 1 ms a use. Large: 4 s and 3 ms. 6 s / 2 ms = 3 000 inferences, energy alike."""
    task = make_task(model("small", 10, 10.0, 1e-3), model("large", 1000, 4.0, 3e-3))
    (table,) = make_break_even_tables(task)
    words = "after 3 000 inferences"
    assert table.rows == [
        ["small", "10.0 s", "1.00 ms", words, *[f"{words} (modelled, cpu_load_model)"] * 2],
    ]
    assert "large" in table.title


def test_reference_can_be_chosen() -> None:
    """Seen from the other side the same number bounds the gain; a model of another task changes nothing."""
    models = model("small", 10, 10.0, 1e-3), model("large", 1000, 4.0, 3e-3)
    (table,) = make_break_even_tables(make_task(*models, reference="small"))
    assert table.rows[0][3] == "until 3 000 inferences"
    assert make_break_even_tables(make_task(*models, reference="elsewhere"))[0].title.endswith("large")


def test_different_meters_are_not_compared() -> None:
    """A modelled joule has no place beside a measured one."""
    task = make_task(model("small", 10, 10.0, 1e-3, "tdp_constant"), model("large", 1000, 4.0, 3e-3))
    assert make_break_even_tables(task)[0].rows[0][4].startswith("not comparable")


def test_trainings_of_two_meters_have_no_mean() -> None:
    """Shards of like machines, one with RAPL: neither a mean nor a break-even mixes their joules; time counts both."""
    small, large = model("small", 10, 10.0, 1e-3), model("large", 1000, 4.0, 3e-3)
    read = joules("training_energy_j", 2.0, 1.0, "rapl", "measured")
    other = small.trainings[0].model_copy(update={"figures": (*small.trainings[0].figures[:1], *read)})
    small.trainings.append(other)
    meters = "different meters (measured, rapl; modelled, cpu_load_model)"
    task = make_task(small, large)
    assert make_break_even_tables(task)[0].rows[0][3:] == ["after 3 000 inferences", *[f"not comparable: {meters}"] * 2]
    rows = {row[0]: row[-2:] for row in make_training_table(task).rows}
    assert rows["small"] == [f"no mean: {meters}"] * 2
    assert rows["large"] == ["8.00 J (modelled, cpu_load_model)", "4.00 J (modelled, cpu_load_model)"]


def test_training_and_inference_have_one_meter() -> None:
    """RAPL opened between training and use, as the doctor advises: the joules of both models do not add up."""
    models = [model("small", 10, 10.0, 1e-3), model("large", 1000, 4.0, 3e-3)]
    for one in models:
        figures = joules("inference_energy_j", 2.0, 1.0, "rapl", "measured")
        one.measured["energy"] = one.measured["energy"].model_copy(update={"figures": tuple(figures)})
    cells = make_break_even_tables(make_task(*models))[0].rows[0][4:]
    assert cells == ["not comparable: different meters (measured, rapl; modelled, cpu_load_model)"] * 2


def test_no_break_even_from_what_is_too_little_to_be_seen() -> None:
    """A net of -0.1 J of use says nothing, so it divides nothing; gross still counts."""
    small, large = model("small", 10, 10.0, 1e-3), model("large", 1000, 4.0, 3e-3)
    figures = joules("inference_energy_j", 2.0, -0.1, "cpu_load_model")
    small.measured["energy"] = small.measured["energy"].model_copy(update={"figures": tuple(figures)})
    gross, net = make_break_even_tables(make_task(small, large))[0].rows[0][4:]
    assert gross == "after 3 000 inferences (modelled, cpu_load_model)"
    assert net == "not comparable: a cost is not above that of the idle machine"


def test_marks_of_the_latencies_are_carried_on() -> None:
    """What rests on an invalid latency says so."""
    small, large = model("small", 10, 10.0, 1e-3), model("large", 1000, 4.0, 3e-3)
    figure = large.measured["latency"].figures[0].model_copy(update={"notes": (Note.parse("INVALID: pre-empted"),)})
    large.measured["latency"] = large.measured["latency"].model_copy(update={"figures": (figure,)})
    assert make_break_even_tables(make_task(small, large))[0].rows[0][3] == "after 3 000 inferences (INVALID)"


def test_mlbom_tells_gross_from_net_and_how_many_inferences() -> None:
    """Every energy has what it counts, whose joules, whether the idle machine is in, and how; values are texts."""
    one = model("small", 10, 4.0, 1e-3, "rapl")
    energy = one.measured["energy"]
    conditions = [figure.conditions | {"n_inferences": 1000} for figure in energy.figures]
    figures = [f.model_copy(update={"conditions": c}) for f, c in zip(energy.figures, conditions, strict=True)]
    one.measured["energy"] = energy.model_copy(update={"figures": tuple(figures)})
    component = make_mlbom(make_task(one), one)["metadata"]["component"]
    entries = component["modelCard"]["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    shared = {
        "component": "cpu",
        "scope": "machine",
        "kind": "modelled",
        "source": "rapl",
        "method": "one window of 3.0 s",
    }
    said = [{p["name"].removeprefix("dlmi-bench:"): p["value"] for p in entry["properties"]} for entry in entries]
    training, inference = shared, shared | {"n_inferences": "1000"}
    assert said == [whose | {"idle_subtracted": net} for whose in (training, inference) for net in ("false", "true")]


def test_boamps_keeps_gross_and_net_apart(tmp_path: Path) -> None:
    """A file for each; who read the meter is named, RAPL is read here."""
    task = make_task(model("small", 10, 4.0, 1e-3, "rapl"), model("large", 1000, 4.0, 3e-3))
    paths = write_boamps(Results({"toy": task}, [], [], []), tmp_path)
    assert len(set(paths)) == len(paths) == 8
    kwh = {p.stem: json.loads(p.read_text())["measures"][0] for p in paths}
    gross, net = kwh["toy--small--training-0-cpu"], kwh["toy--small--training-0-cpu-net"]
    assert (gross["powerConsumption"] * 3.6e6, net["powerConsumption"] * 3.6e6) == pytest.approx((8.0, 4.0))
    assert gross["measurementMethod"].startswith("dlmi-bench (rapl")
    assert kwh["toy--large--training-0-cpu"]["measurementMethod"].startswith("codecarbon (cpu_load_model")
