"""Reports on own data and models: folds, no target, weights from elsewhere, leakage, groups of images, many classes."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from dlmi_bench.errors import StoreError
from dlmi_bench.records import Cell, Figure, Record, unavailable
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import put_array
from dlmi_reports import write_export, write_report
from dlmi_reports.formats.registry import EXPORTS
from dlmi_reports.page import make_page
from dlmi_reports.plots.curves import plot_curves
from dlmi_reports.plots.montage import plot_montages
from dlmi_reports.results.answers import read_answers
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.load import Results, TaskResults, load_results
from dlmi_reports.structure import Section, Table
from dlmi_reports.tables.classes import compute_confusion, make_class_tables
from dlmi_reports.tables.differences import compute_accuracy_difference
from dlmi_reports.tables.efficiency import make_efficiency_tables
from dlmi_reports.tables.energy import make_break_even_tables
from dlmi_reports.tables.overview import make_accuracy_table, make_seed_table, make_tables, make_training_table
from report_stores import PROVENANCE, keep_pictures, measured_records, train_record

TO_TARGET = ("time_to_target_s", "epochs_to_target", "samples_to_target")
CLEAN = "Leakage audit: no group, no identical and no nearly identical image is on both sides of a split."
# Two repeats of two folds of ten examples: in the first one 5, 7 and 9 are taken for the other class, in the second 2.
FOLDS = {(0, 0): [9, 7, 5, 3, 1, 0], (0, 1): [2, 4, 6, 8], (1, 0): [0, 1, 2, 3, 4, 5], (1, 1): [8, 9, 6, 7]}
WRONG = ({5, 7, 9}, {2})


def load(folder: Path, *records: Record) -> Results:
    store = Store(folder)
    store.add_done([(record, "f") for record in records])
    return load_results(store)


def own_record(model: str, index: int, test: float, **provenance: JsonValue) -> Record:
    """A training with other provenance; without figures of a target where it states none."""
    record = train_record(model, index, test, 1.0)
    if "target" in provenance and provenance["target"] is None:
        kept = tuple(figure for figure in record.figures if figure.name not in TO_TARGET)
        record = record.model_copy(update={"figures": kept})
    return record.model_copy(update={"provenance": PROVENANCE | provenance})


def fold_record(folder: Path, model: str, repeat: int, fold: int) -> Record:
    """One fold of FOLDS with its answers; its balanced accuracy is that of its own examples."""
    index = np.array(FOLDS[repeat, fold])
    labels, is_right = index % 2, np.array([i not in WRONG[repeat] for i in index])
    answers = np.where(is_right, labels, 1 - labels)
    confusion = [[int(((labels == t) & (answers == a)).sum()) for a in (0, 1)] for t in (0, 1)]
    balanced = np.mean([row[t] / sum(row) for t, row in enumerate(confusion) if sum(row)])
    figures = [
        Figure(name=name, value=float(value), kind="measured", source="file", n=len(index))
        for name, value in (("test_accuracy", is_right.mean()), ("test_balanced_accuracy", balanced))
    ]
    arrays = {"test_scores": np.eye(2, dtype=np.float32)[answers], "test_labels": labels, "test_index": index}
    kept = tuple(put_array(folder, role, array) for role, array in arrays.items())
    folds: JsonValue = {"n_folds": 2, "fold": fold, "repeat": repeat, "by": "patient", "is_held_out_site": False}
    return Record(
        cell=Cell(kind="train", task="toy", model=model, seed_index=2 * repeat + fold),
        figures=tuple(figures),
        artifacts=kept,
        provenance=PROVENANCE | {"folds": folds},
        details={"confusion": confusion, "class_names": ["even", "odd"]},
    )


def load_folds(folder: Path, *places: tuple[int, int]) -> TaskResults:
    return load(folder, *(fold_record(folder, "m", *place) for place in places or FOLDS)).tasks["toy"]


def make_section(results: Results) -> Section:
    return next(section for section in make_page(results).sections if section.name == "toy")


def find_cells(table: Table, model: str) -> dict[str, str]:
    row = next(row for row in table.rows if row[0] == model)
    return dict(zip(table.header, row, strict=True))


def test_folds_weigh_their_examples(tmp_path: Path) -> None:
    """3 of 6 and 4 of 4 are 7 of 10, 6 of 6 and 3 of 4 are 9 of 10: 80 % of 10 examples, sd over two repeats."""
    accuracy = load_folds(tmp_path).models["m"].compute_accuracy()
    assert accuracy is not None
    assert (accuracy.mean, accuracy.n, accuracy.n_seeds) == (pytest.approx(0.8), 10, 2)
    assert accuracy.sd == pytest.approx(0.2 / np.sqrt(2))
    assert (accuracy.lo, accuracy.hi) == pytest.approx(compute_wilson(8, 10))


def test_answers_of_folds_are_put_in_order(tmp_path: Path) -> None:
    """A row per repeat, columns in the order of the data set, and the seed of the first fold."""
    model = load_folds(tmp_path).models["m"]
    answers = read_answers(model, "test_accuracy")
    assert answers.table.tolist() == [[float(i not in wrong) for i in range(10)] for wrong in WRONG]
    assert answers.labels.tolist() == [i % 2 for i in range(10)]
    assert answers.seeds == tuple(Cell(kind="train", task="toy", model="m", seed_index=i).seed for i in (0, 2))
    with pytest.raises(UnmeasuredError, match="differ between folds"):
        read_answers(model, "validation_accuracy")


def test_balanced_figures_of_folds_are_of_all_their_examples(tmp_path: Path) -> None:
    """Recalls 5/5 and 2/5, then 4/5 and 5/5: 70 and 90 %, in the table as in the answers; folds alone have 82 %."""
    model = load_folds(tmp_path).models["m"]
    assert model.values("test_balanced_accuracy") == pytest.approx([0.7, 0.9])
    assert read_answers(model, "test_balanced_accuracy").table.mean(1) == pytest.approx([0.7, 0.9])
    confusion = compute_confusion(model)
    assert confusion is not None
    assert confusion.counts == [[9, 1], [3, 7]]


def test_incomplete_repeats_do_not_count(tmp_path: Path) -> None:
    """A fold without its other one changes nothing; with a single whole repeat the spread is said to be missing."""
    model = load_folds(tmp_path, (0, 0), (0, 1), (1, 1)).models["m"]
    accuracy = model.compute_accuracy()
    assert accuracy is not None
    assert (accuracy.mean, accuracy.n_seeds) == (pytest.approx(0.7), 1)
    with pytest.raises(UnmeasuredError, match="1 complete repeat of the folds of m on toy"):
        read_answers(model, "test_accuracy")


def test_doubled_example_is_damage(tmp_path: Path) -> None:
    """Folds that claim the same example are no test of the data set, even if all repeats agree on it."""
    doubled = put_array(tmp_path, "test_index", np.array([8, 4, 6, 8]))
    records = [fold_record(tmp_path, "m", 0, fold) for fold in (0, 1)]
    kept = tuple(a for a in records[1].artifacts if a.role != "test_index")
    records[1] = records[1].model_copy(update={"artifacts": (*kept, doubled)})
    for record in records[:2]:
        folds: JsonValue = {"n_folds": 2, "fold": record.cell.seed_index, "repeat": 1}
        cell = record.cell.model_copy(update={"seed_index": record.cell.seed_index + 2})
        records.append(record.model_copy(update={"cell": cell, "provenance": PROVENANCE | {"folds": folds}}))
    with pytest.raises(StoreError, match="do not match"):
        read_answers(load(tmp_path, *records).tasks["toy"].models["m"], "test_accuracy")


def test_folds_of_two_models_are_paired(tmp_path: Path) -> None:
    """The same answers on the same examples differ by nothing, which is known within the four examples added."""
    records = [fold_record(tmp_path, model, *place) for model in "ab" for place in FOLDS]
    task = load(tmp_path, *records).tasks["toy"]
    found = compute_accuracy_difference(task.models["a"], task.models["b"])
    assert found is not None
    assert found.value == 0
    assert found.hi is not None


def test_report_says_how_folds_were_made(tmp_path: Path) -> None:
    """Number, grouping and repeats in the lead, the fold in the row of a training, the overlap in the notes."""
    results = load(tmp_path, *(fold_record(tmp_path, "m", *place) for place in FOLDS))
    section = make_section(results)
    assert "2 folds by patient, 2 repeats: each complete repeat tests every example once." in section.lead
    assert any("training sets of the folds overlap" in note for note in section.notes)
    table = make_accuracy_table(results.tasks["toy"])
    assert find_cells(table, "m")["repeat sd"] == "14.14 (n=2)"
    runs = [row[1] for row in make_seed_table(results.tasks["toy"]).rows]
    assert runs == ["repeat 1, fold 1", "repeat 1, fold 2", "repeat 2, fold 1", "repeat 2, fold 2"]


def test_task_without_a_target_asks_for_none(tmp_path: Path) -> None:
    """No column on a target, no survival, no line in the curves; the efficiency says why there is no time."""
    records = [own_record("m", i, 0.9, target=None) for i in range(2)]
    task = load(tmp_path, *records, *measured_records("m", 10, 1e-5)).tasks["toy"]
    for table in make_tables(task):
        assert not [name for name in table.header if "target" in name or "reached" in name]
    assert task.models["m"].compute_reach().n_runs == 0
    assert "not measured: the task states no target" in make_training_table(task).caption
    (learning,) = plot_curves(task)
    assert "target" not in learning.alt
    (efficiency,) = make_efficiency_tables(task)
    assert efficiency.rows[0][-1] == "not measured: the task states no target"


def test_target_without_a_published_accuracy(tmp_path: Path) -> None:
    """The target counts, and no accuracy is said to be published."""
    target: JsonValue = {"validation_accuracy": 0.95, "test_accuracy_published": None, "source": ""}
    table = make_accuracy_table(load(tmp_path, own_record("m", 0, 0.9, target=target)).tasks["toy"])
    assert table.header[-1] == "reached 95 % validation"
    assert table.notes == []


def elsewhere_record(model: str, index: int, test: float) -> Record:
    """A file that was trained elsewhere: no durations, no curve, nothing but the graph."""
    start: JsonValue = {"source": "elsewhere", "sha256": "e" * 64, "file": "net.onnx"}
    record = own_record(model, index, test, start=start)
    gone = ("training_s", "evaluation_s", "n_epochs", "n_samples", "training_energy_j")
    kept = [figure for figure in record.figures if figure.name not in (*gone, *TO_TARGET)]
    figures = (*kept, *(unavailable(name, "trained elsewhere") for name in gone))
    return record.model_copy(update={"figures": figures, "details": record.details | {"curve": []}})


def test_trained_elsewhere_is_said_and_not_censored(tmp_path: Path) -> None:
    """Accuracy and its interval stand; where times of training would, the words do, and never an infinite ratio."""
    records = [elsewhere_record("theirs", 0, 0.9), *measured_records("theirs", 20, 2e-5)]
    for model, n in (("mine", 10), ("larger", 30)):
        records += [*(own_record(model, i, 0.9) for i in range(2)), *measured_records(model, n, 1e-5)]
    results = load(tmp_path, *records)
    task = results.tasks["toy"]
    accuracy = find_cells(make_accuracy_table(task), "theirs")
    assert accuracy["test %"] == "90.0 (trained elsewhere)"
    assert accuracy["95 % interval"] == "[82.6, 94.5]"
    assert accuracy["reached 95 % validation"] == "trained elsewhere"
    training = find_cells(make_training_table(task), "theirs")
    assert {training[name] for name in ("training", "time to target", "evaluation", "energy, gross")} == {
        "trained elsewhere"
    }
    assert find_cells(make_seed_table(task), "theirs")["training"] == "n/a (trained elsewhere)"
    (table,) = make_break_even_tables(task)
    assert [row[0] for row in table.rows] == ["mine"]
    assert table.notes == ["Without a break-even, because they were trained elsewhere: theirs."]
    origin = make_page(results).sections[-1].all_tables[0]
    assert ["sha256 of net.onnx", "e" * 64, "1"] in origin.rows


def test_report_of_elsewhere_alone_in_every_format(tmp_path: Path) -> None:
    """A store of nothing but a file from elsewhere, without any artifact, is written in all formats and exports."""
    record = elsewhere_record("theirs", 0, 0.9).model_copy(update={"artifacts": ()})
    store = Store(tmp_path / "out")
    store.add_done([(record, "f")])
    assert "report.md" in {path.name for path in write_report(store, tmp_path)}
    assert write_export(store, tmp_path, [name for name in EXPORTS if name not in ("parquet", "onnx", "c")])


def audit(*, is_clean: bool = True, reason: str = "", **counts: JsonValue) -> JsonValue:
    pair: JsonValue = {"n_groups_shared": 0, "n_exact": 0, "n_near": 0, "closest_correlation": 0.9} | counts
    return {"pairs": {"train/test": pair}, "near_correlation": 0.999, "is_clean": is_clean, "reason": reason}


def test_clean_audit_is_one_sentence(tmp_path: Path) -> None:
    """All three were looked for and none was found."""
    section = make_section(load(tmp_path, own_record("m", 0, 0.9, audit=audit())))
    assert CLEAN in section.lead


def test_audit_says_what_was_not_looked_for(tmp_path: Path) -> None:
    """Without groups none is said to be shared; without near duplicates the reason stands there."""
    found = audit(n_groups_shared=None, n_near=None, closest_correlation=None, reason="over 20 000 images")
    section = make_section(load(tmp_path, own_record("m", 0, 0.9, audit=found)))
    assert section.lead[-1] == (
        "Leakage audit: no identical image is on both sides of a split. Groups, such as patients, were not given, so "
        "that shared ones were not looked for. Nearly identical images were not looked for: over 20 000 images."
    )


def test_leak_is_at_the_top(tmp_path: Path) -> None:
    """Counts of groups and images in the first lines of the page and of the section, and no clean sentence."""
    found = audit(is_clean=False, n_groups_shared=3, n_exact=2, n_near=1, closest_correlation=0.99987)
    page = make_page(load(tmp_path, own_record("m", 0, 0.9, audit=found)))
    leak = (
        "LEAK in toy, train/test: on both sides are groups: 3, identical images: 2, nearly identical images: 1 "
        "(largest correlation 0.9999). Its accuracies may be too high."
    )
    section = next(section for section in page.sections if section.name == "toy")
    assert leak in page.lead
    assert leak in section.lead
    assert "Leakage audit" not in " ".join(section.lead)


def test_leak_of_one_fold_is_found(tmp_path: Path) -> None:
    """Clean audits of other folds do not hide it."""
    records = [own_record("m", 0, 0.9, audit=audit()), own_record("m", 1, 0.9, audit=audit(is_clean=False, n_exact=4))]
    section = make_section(load(tmp_path, *records))
    (leak,) = section.lead[1:]
    assert leak == "LEAK in toy, train/test: on both sides are identical images: 4. Its accuracies may be too high."


def test_grouped_images_mark_the_accuracy(tmp_path: Path) -> None:
    """20 patients with 100 images: a mark in the cell, and the counts in the notes."""
    record = own_record("m", 0, 0.9, clusters={"n_groups": 20, "n_examples": 100})
    results = load(tmp_path, record)
    assert find_cells(make_accuracy_table(results.tasks["toy"]), "m")["test %"] == "90.0 (clustered)"
    (note,) = [note for note in make_section(results).notes if "clustered" in note]
    assert "intervals of accuracies and of their differences are too narrow (20 groups, 100 images)" in note


def test_groups_of_folds_are_added(tmp_path: Path) -> None:
    """Two folds of one repeat with 3 and 2 patients are 5 patients."""
    records = [fold_record(tmp_path, "m", *place) for place in FOLDS]
    sizes = [{"n_groups": n, "n_examples": 2 * n} for n in (3, 2, 3, 2)]
    records = [
        record.model_copy(update={"provenance": record.provenance | {"clusters": size}})
        for record, size in zip(records, sizes, strict=True)
    ]
    section = make_section(load(tmp_path, *records))
    assert any("(5 groups, 10 images)" in note for note in section.notes)


def test_plugins_and_loading_are_said(tmp_path: Path) -> None:
    """Name and first digits of the hash of what was loaded in the origin, the way of loading in the notes."""
    plugins: JsonValue = [{"name": "study.py", "files": {"study.py": "ab" * 32, "net.py": "cd" * 32}}]
    results = load(tmp_path, own_record("m", 0, 0.9, plugins=plugins, loading="in memory before the clock starts"))
    page = make_page(results)
    (row,) = [row for row in page.sections[-1].all_tables[0].rows if "plug-in" in row[0]]
    assert row == ["plug-in study.py, sha256", "study.py abababababab, net.py cdcdcdcdcdcd", "1"]
    assert "Data: in memory before the clock starts." in make_section(results).notes


def test_many_classes_stay_readable(tmp_path: Path) -> None:
    """Of 25 classes no confusion is shown, and the recall of the ten that are recognised worst, lowest first."""
    confusion = [[100 - t if t == a else t if a == (t + 1) % 25 else 0 for a in range(25)] for t in range(25)]
    record = own_record("m", 0, 0.88)
    details = record.details | {"confusion": confusion, "class_names": [f"c{i}" for i in range(25)]}
    task = load(tmp_path, record.model_copy(update={"details": details})).tasks["toy"]
    recall, mistakes = make_class_tables(task)
    assert recall.header == ["model", *(f"c{i}" for i in range(24, 14, -1))]
    assert recall.rows == [["m", *(f"{100 - i}.0" for i in range(24, 14, -1))]]
    assert "Of 25 classes only the 10 with the lowest recall of m are shown." in recall.caption
    assert mistakes.rows[0] == ["m", "c24", "c0", "24", "24.0 %"]


def test_pictures_of_many_classes_are_cut(tmp_path: Path) -> None:
    """Of 45 classes with a picture each, 40 are drawn; a task without pictures has no montage."""
    record = keep_pictures(own_record("m", 0, 0.9))
    first = record.details["pictures"][0]
    pictures: list[dict[str, JsonValue]] = [{**first, "truth": i, "answer": i} for i in range(45)]
    names = [f"c{i}" for i in range(45)]
    details = record.details | {"pictures": pictures, "class_names": names}
    (plot,) = plot_montages(load(tmp_path, record.model_copy(update={"details": details})).tasks["toy"])
    assert plot.alt.startswith("40 test images")
    assert plot_montages(load(tmp_path / "none", own_record("m", 0, 0.9)).tasks["toy"]) == []
