"""Parts of a report that look at single examples and single calls: differences, efficiency, percentiles, pictures."""

from pathlib import Path

import pytest

from dlmi_bench.errors import StoreError
from dlmi_bench.instruments.latency_figures import make_single_call_figures
from dlmi_bench.records import UNTIMED, Cell, Figure, Note, Record, unavailable
from dlmi_bench.stats.intervals import compute_cost_per_success
from dlmi_bench.store import Store
from dlmi_reports.claims.ratios import pair_seeds
from dlmi_reports.claims.verdicts import choose_claims
from dlmi_reports.plots.curves import plot_curves
from dlmi_reports.plots.montage import plot_montages
from dlmi_reports.plots.singles import make_calibration_tables, plot_singles
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.costs import COSTS
from dlmi_reports.results.load import TaskResults, load_results
from dlmi_reports.results.machines import NOT_COMPARABLE
from dlmi_reports.tables.ablation import make_ablation_table
from dlmi_reports.tables.agreement import make_agreement_tables
from dlmi_reports.tables.changes import make_change_table
from dlmi_reports.tables.differences import compute_accuracy_difference, make_difference_tables
from dlmi_reports.tables.efficiency import make_efficiency_tables, render_success
from dlmi_reports.tables.fronts import draw_task, make_front_tables
from dlmi_reports.tables.latency import make_latency_tables
from dlmi_reports.tables.overview import list_notes, make_inference_table, make_training_table
from dlmi_reports.tables.scans import make_scan_tables
from report_stores import PROVENANCE, keep_answers, keep_pictures, keep_singles, measured_records, train_record


def load(folder: Path, *records: Record) -> TaskResults:
    store = Store(folder)
    store.add_done([(record, "f") for record in records])
    return load_results(store).tasks["toy"]


def test_answers_are_paired(tmp_path: Path) -> None:
    """One is wrong where the other is, and on 4 examples more: 10.6 points of doubt alone, 4.7 pair by pair.

    By hand: 1.96 sqrt(.8 .2 / 100 + .84 .16 / 100), and t(.975, 101) times the standard error of 4 times -1, 96 times
    0 and the one gained and one lost that are added.
    """
    wrong = {"worse": range(20), "better": range(16)}
    plain = [train_record(m, i, 1 - len(w) / 100, 1.0) for m, w in wrong.items() for i in range(5)]
    kept = [keep_answers(tmp_path / "kept", r, wrong[r.cell.model]) for r in plain]
    for name, records, half in (("plain", plain, 0.1063), ("kept", kept, 0.0473)):
        task = load(tmp_path / name, *records)
        found = compute_accuracy_difference(task.models["worse"], task.models["better"])
        assert found is not None
        assert (found.value, found.lo, found.hi) == pytest.approx((-0.04, -0.04 - half, -0.04 + half), abs=2e-4)


def test_other_examples_are_not_paired(tmp_path: Path) -> None:
    """Answers to examples with other labels are independent samples, with wider bounds."""
    plain = [train_record(m, i, 0.9, 1.0) for m in "ab" for i in range(2)]
    widths = []
    for first in (0, 1):
        folder = tmp_path / str(first)
        records = [keep_answers(folder, r, range(10), first=first * (r.cell.model == "b")) for r in plain]
        task = load(folder, *records)
        found = compute_accuracy_difference(task.models["a"], task.models["b"])
        assert found is not None
        assert found.hi is not None
        widths.append(found.hi)
    assert 3 * widths[0] < widths[1]


def test_latencies_of_two_sessions_are_not_paired(tmp_path: Path) -> None:
    """Twice as long in each of five processes: known exactly side by side, without an interval from another session."""
    records = [train_record(m, i, 0.9, 1.0) for m in "ab" for i in range(2)] + measured_records("a", 10, 1e-5)
    cells = {}
    for session in ("s", "t"):
        task = load(tmp_path / session, *records, *measured_records("b", 20, 2e-5, session))
        relative = make_difference_tables(task)[0]
        cells[session] = relative.rows[1][relative.header.index("latency")]
    assert cells == {"s": "2.00 x", "t": "2.00 x (not timed in the same session)"}


def test_trainings_of_two_machines_are_not_compared(tmp_path: Path) -> None:
    """Other durations on another machine say nothing of the models, neither in a table nor in a claim."""
    cells = {}
    for machine in ("m1", "m2"):
        records = [train_record(name, i, 0.9, 1.0) for name, n in (("a", 3), ("b", 4)) for i in range(n)]
        where = {**records[0].provenance, "machine_id": machine}
        records = [r.model_copy(update={"provenance": where}) if r.cell.model == "b" else r for r in records]
        task = load(tmp_path / machine, *records, *measured_records("a", 10, 1e-5), *measured_records("b", 20, 2e-5))
        relative = make_difference_tables(task)[0]
        cells[machine] = relative.rows[1][-1]
        assert relative.header[-1] == ("training" if machine == "m1" else "training on abacus m1")
        if machine == "m1":
            assert len(pair_seeds(task.models["a"], task.models["b"], "training_s")) == 3
        else:
            with pytest.raises(UnmeasuredError, match="several kinds of machine"):
                pair_seeds(task.models["a"], task.models["b"], "training_s")
    assert cells["m2"] == NOT_COMPARABLE
    assert cells["m1"].endswith("x (not resolved)")


def untime(record: Record) -> Record:
    """The record as of a training beside others."""
    figures = [
        unavailable(f.name, UNTIMED, **f.conditions) if f.name.endswith(("_s", "_j")) else f for f in record.figures
    ]
    shared = Figure(name="shared_training_s", value=99.0, kind="measured", source="c")
    return record.model_copy(update={"figures": (*figures, shared)})


def test_training_beside_others_counts_as_accuracy_and_success_alone(tmp_path: Path) -> None:
    """Two timed trainings, one of which missed the target, and two beside others, of which both reached it."""
    times = (1.0, None, 1.0, 1.0)
    records = [train_record(m, i, 0.9 + 0.01 * i, times[i]) for m in "ab" for i in range(4)]
    records = [untime(r) if r.cell.seed_index > 1 else r for r in records]
    task = load(tmp_path, *records, *measured_records("a", 10, 1e-5), *measured_records("b", 20, 2e-5))
    model, reach = task.models["a"], task.models["a"].compute_reach()
    assert (reach.n_reached, reach.n_runs) == (3, 4)
    assert model.list_times_to_target() == [(1.0, True), (5.0, False)]
    assert model.values("training_s") == [4.0, 5.0]
    assert model.values("test_accuracy") == pytest.approx([0.9, 0.91, 0.92, 0.93])
    assert pair_seeds(model, task.models["b"], "training_s") == [0, 0]
    assert render_success(model).startswith("2.67 s")  # 1 s + (1/4) / (3/4) of the 5 s in vain
    table = make_training_table(task)
    assert table.notes == ["Trained beside others, so in no time or energy: a 2 of 4, b 2 of 4."]
    assert "99" not in "".join(cell for row in table.rows for cell in row)
    _, survival = plot_curves(task)
    assert "a 1 of 2" in survival.alt


def test_arm_without_a_timed_training_says_so(tmp_path: Path) -> None:
    """Its cells and its claims name the reason; that it reached the target stays."""
    records = [train_record(model, i, 0.9, 1.0) for model in "ab" for i in range(2)]
    records = [untime(r) if r.cell.model == "a" else r for r in records]
    task = load(tmp_path, *records, *measured_records("a", 10, 1e-5))
    table = make_training_table(task)
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert {row[name] for name in ("training", "time to target", "evaluation")} == {f"n/a ({UNTIMED})"}
    assert row["epochs to target"] == "1"
    assert render_success(task.models["a"]) == f"n/a ({UNTIMED})"
    with pytest.raises(UnmeasuredError, match=UNTIMED):
        pair_seeds(task.models["a"], task.models["b"], "time_to_target_s")


def test_models_of_two_sessions_draw_their_processes_apart(tmp_path: Path) -> None:
    """Of three models that are equally fast two share a session, and their redrawn latencies are the same."""
    records = [train_record(m, 0, 0.9, 1.0) for m in "abc"]
    for model, session in (("a", "s"), ("b", "s"), ("c", "t")):
        records += measured_records(model, 10, 1e-5, session)
    draws = draw_task(load(tmp_path, *records), next(cost for cost in COSTS if cost.name == "latency"))
    assert draws is not None
    a, b, c = draws.costs
    assert (a == b).all()
    assert (a != c).any()


def judged_by(record: Record, error: float, *notes: str) -> Record:
    """The record with the answers of ONNX Runtime beside float64: 3 of 100 decisions differ."""
    values = {"max_score_error": error, "score_rmse_ratio": 1.5, "decision_disagreement": 0.03}
    parity = (
        Figure(name=name, value=value, kind="measured", source="test split", n=100, notes=notes, lo=0.0, hi=1.0,
               conditions={"backend": "onnxruntime"})
        for name, value in values.items()
    )  # fmt: skip
    return record.model_copy(update={"figures": (*record.figures, *parity)})


def test_agreement_with_float64_is_shown(tmp_path: Path) -> None:
    """Error, RMSE, other decisions and their number, of the first seed; a runtime that gave no scores says why."""
    first = judged_by(train_record("m", 0, 0.9, 1.0), 3e-7, "vacuous: every decision is for the same class")
    missing = unavailable("max_score_error", "not installed", backend="openvino")
    records = [first.model_copy(update={"figures": (*first.figures, missing)}), train_record("m", 1, 0.9, 1.0)]
    task = load(tmp_path, *records)
    (table,) = make_agreement_tables(task)
    assert table.rows == [
        ["m", "onnxruntime", "3.0e-07 (vacuous)", "1.50 x", "3.00 [0.00, 100.00] %", "100"],
        ["m", "openvino", "n/a (not installed)", "not measured", "not measured", "0"],
    ]
    said = "m: max_score_error, score_rmse_ratio, decision_disagreement onnxruntime: vacuous: every decision is for the"
    assert [note.startswith(said) for note in list_notes(task)] == [True]


def test_latency_of_a_runtime_that_answers_wrongly_is_invalid(tmp_path: Path) -> None:
    """It is shown with the mark, has no ratio in any table and no place on a front; the other model keeps its own."""
    records = [judged_by(train_record("wrong", 0, 0.9, 1.0), 0.5, "INVALID: scores differ by up to 5.0e-01")]
    records += [judged_by(train_record("right", 0, 0.9, 1.0), 3e-7), *measured_records("right", 10, 1e-5)]
    task = load(tmp_path, *records, *measured_records("wrong", 20, 2e-5))
    task.chosen_reference = "right"
    assert "20 [20, 26] us (mixed) (INVALID)" in make_inference_table(task).rows[1]
    sweep, ratio = make_latency_tables(task)
    assert [row[4].endswith("(INVALID)") for row in sweep.rows] == [False, True]
    assert ratio.rows[0][4] == "n/a (INVALID: scores differ by up to 5.0e-01)"
    for table in (make_difference_tables(task)[0], make_front_tables(task)[0]):
        cells = {row[0]: row[table.header.index("latency")] for row in table.rows}
        assert cells["wrong"] == "n/a (INVALID)"
        assert cells["right"] in ("1 x", "100 %")


def test_invalid_latency_changed_nothing(tmp_path: Path) -> None:
    """Twice as slow as before, but pre-empted: the row says why there is no verdict."""
    results = []
    for latency_s, notes in ((2e-5, ("INVALID: pre-empted",)), (1e-5, ())):
        latency, _ = measured_records("small", 10, latency_s)
        figure = latency.figures[0].model_copy(update={"notes": tuple(map(Note.parse, notes))})
        store = Store(tmp_path / str(latency_s))
        store.add_done([(latency.model_copy(update={"figures": (figure,)}), "f")])
        results.append(load_results(store))
    (row,) = make_change_table(results[0], results[1]).rows
    assert row[2:] == ["latency", "n/a (INVALID)", "10.0 us", "", "cannot be compared: INVALID"]


def test_ways_of_preparing_stand_side_by_side(tmp_path: Path) -> None:
    """Three more of 100 examples are wrong on the arm, in each of two seeds; a model without an arm is left out."""
    records = []
    for task, wrong in (("toy", range(10)), ("toy+arm", range(13))):
        for index in range(2):
            record = keep_answers(tmp_path, train_record("a", index, 1 - len(wrong) / 100, 1.0), wrong)
            records.append(record.model_copy(update={"cell": record.cell.model_copy(update={"task": task})}))
    signal = Figure(name="image_snr", value=5.0, kind="measured", source="training split")
    records += [
        train_record("alone", 0, 0.9, 1.0),
        Record(cell=Cell(kind="references", task="toy+arm", model="-"), figures=(signal,)),
    ]
    store = Store(tmp_path)
    store.add_done([(record, "f") for record in reversed(records)])
    tasks = load_results(store).tasks
    assert list(tasks) == ["toy", "toy+arm"]
    table = make_ablation_table(tasks, "toy")
    assert table is not None
    (first, second) = table.rows
    assert first[:4] == ["a", "toy", "90.0", "-"]
    assert second[:3] == ["a", "toy+arm", "87.0"]
    assert second[3].startswith("-3 [")
    assert (first[7], second[7]) == ("not measured", "5.00")
    assert make_ablation_table({"toy": tasks["toy"]}, "toy") is None


def test_cost_per_success_by_hand() -> None:
    """Half of the runs fail after 5 s: a success of 1 s takes 6 s; certain ones what they take."""
    assert compute_cost_per_success(1.0, 5.0, 0.5) == 6.0
    assert compute_cost_per_success(1.0, 5.0, 1.0) == 1.0


def test_efficiency_by_hand(tmp_path: Path) -> None:
    """.9 less chance .5, over 1 000 multiply-accumulates: 400 000 per GMAC; joules only where measured."""
    counts = Figure(name="macs", value=1000, kind="counted", source="torch")
    modelled = Figure(name="inference_energy_j", value=2.0, kind="modelled", source="tdp",
                      conditions={"component": "cpu", "idle_subtracted": False})  # fmt: skip
    measured = modelled.model_copy(update={"kind": "measured", "source": "rapl"})
    void = measured.model_copy(update={"notes": (Note.parse("INVALID: other answers"),)})
    records = [train_record(m, i, 0.9, None if m == "a" else 1.0) for m in "abc" for i in range(5)]
    records += [Record(cell=Cell(kind="counts", task="toy", model=m), figures=(counts,)) for m in "abc"]
    records += [
        Record(cell=Cell(kind="energy", task="toy", model=m), figures=(figure,), provenance=PROVENANCE)
        for m, figure in (("a", modelled), ("b", measured), ("c", void))
    ]
    (table,) = make_efficiency_tables(load(tmp_path, *records))
    first, second, third = table.rows
    assert third[2] == "n/a (INVALID)"
    assert first[1].startswith("400 000 [") or first[1].startswith("400000 [")
    assert first[2] == "n/a (modelled only)"
    assert second[2].startswith("200 [")
    assert first[3].startswith("over ")
    assert second[3].startswith("1.00 s [1.00 s, ")


def test_less_accurate_is_not_efficient(tmp_path: Path) -> None:
    """A model that is resolved to be worse has no figure, however cheap."""
    records = [train_record(m, i, a, 1.0) for m, a in (("good", 0.95), ("bad", 0.6)) for i in range(5)]
    (table,) = make_efficiency_tables(load(tmp_path, *records))
    assert {row[0]: row[1] for row in table.rows}["bad"] == "n/a (less accurate than good)"


def test_calibration_by_hand(tmp_path: Path) -> None:
    """Two processes of ten calls, one 5 us slower: above the median of each lie 10 and 0 of the other's ten."""
    calls = [1e-5 + i * 1e-6 for i in range(10)]
    latency, counts = measured_records("m", 10, 1e-5)
    task = load(
        tmp_path, train_record("m", 0, 0.9, 1.0), counts, keep_singles(latency, calls, [c + 5e-6 for c in calls])
    )
    (table,) = make_calibration_tables(task)
    assert table.header == ["model", "above p50: 50 %", "above p90: 10 %"]
    assert table.rows == [["m", "50 [0.0, 100] %", "30 [0.0, 60] %"]]
    names = [plot.name for plot in plot_singles(task)]
    assert names == ["latency-toy", "calibration-toy"]


def test_montage_says_what_it_shows(tmp_path: Path) -> None:
    """Synthetic data, truth, answer and probability are in the picture and in the words."""
    records = [keep_pictures(train_record("m", 0, 0.9, 1.0)), train_record("m", 1, 0.9, 1.0)]
    (plot,) = plot_montages(load(tmp_path, *records))
    assert "SYNTHETIC DATA" in plot.title
    assert plot.svg.count("<image") == 8
    for words in ("says ill, 0.90", "says well, 0.75", "truth well", "SYNTHETIC DATA"):
        assert words in plot.svg
    assert "truth well, right with probability 0.75, 0.80; truth well, taken for ill with 0.90" in plot.alt
    assert plot_montages(load(tmp_path / "none", train_record("m", 0, 0.9, 1.0))) == []
    task = load(tmp_path / "arm", *records)
    task.name = "toy+arm"
    assert plot_montages(task) == []


def test_rows_of_latency_say_what_they_have_not(tmp_path: Path) -> None:
    """8-bit integers have no peak to compare with, a batch timed in blocks no outliers; the reason is in the cell."""
    latency, counts = measured_records("small", 10, 1e-3)
    identity = {"backend": "onnxruntime-int8", "batch": 64, "threads": 1, "precision": "int8", "provider": "CPU"}
    shown = latency.figures[0].model_copy(update={"conditions": identity})
    figures = (shown, *make_single_call_figures([[], []], identity))
    task = load(tmp_path, latency.model_copy(update={"figures": figures}), counts)
    rates, tail = make_latency_tables(task)
    assert rates.rows[0][-2:] == ["n/a (peak of float32 only)", "n/a"]
    assert tail.rows[0][-2:] == ["n/a (not timed one by one)", "0"]


def test_damaged_picture_is_named(tmp_path: Path) -> None:
    """The cell whose record is damaged, with a remedy."""
    record = keep_pictures(train_record("m", 0, 0.9, 1.0))
    record.details["pictures"][0]["image"] = "AAAA"  # type: ignore[index, call-overload]
    with pytest.raises(StoreError, match="train/toy/m/0: pictures"):
        plot_montages(load(tmp_path, record))


def test_scans_are_counted_and_nobody_is_named(tmp_path: Path) -> None:
    """Who is in by class, group and join, who is out by reason; data that are no folder of scans have no such table."""
    record = train_record("small", 0, 0.9, 1.0)
    assert make_scan_tables(load(tmp_path / "plain", record)) == []
    scans = {
        "n_scans": 3,
        "n_subjects": 2,
        "subjects_by_class": {"1": 1, "2": 1},
        "by_group": {"PD": 3},
        "stages_joined": {"visit": 3},
        "out": [{"n": 4, "reason": "group HC: not asked about"}],
    }
    data = record.provenance["data"] | {"scans": scans}  # type: ignore[operator]
    record = record.model_copy(update={"provenance": record.provenance | {"data": data}})
    (table,) = make_scan_tables(load(tmp_path / "scans", record))
    assert table.rows == [
        ["used", "3", "of 2 subjects"],
        ["subjects", "1", "class 1"],
        ["subjects", "1", "class 2"],
        ["used", "3", "group PD"],
        ["used", "3", "stage by visit"],
        ["left out", "4", "group HC: not asked about"],
    ]


def test_the_course_claims_nothing_of_another_question(tmp_path: Path) -> None:
    """Its claims are about three stages: of controls against patients it says nothing."""
    record = train_record("vgg16-c", 0, 0.9, 1.0)
    data = record.provenance["data"] | {"question": "hc-pd"}  # type: ignore[operator]
    asked = {"plain": record, "other": record.model_copy(update={"provenance": record.provenance | {"data": data}})}
    chosen = {}
    for name, found in asked.items():
        store = Store(tmp_path / name)
        store.add_done([(found.model_copy(update={"cell": found.cell.model_copy(update={"task": "spect"})}), "f")])
        chosen[name] = len(choose_claims(load_results(store)).claim)
    assert chosen["plain"] > 10
    assert chosen["other"] == 0
