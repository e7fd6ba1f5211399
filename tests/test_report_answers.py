"""Figures of answers in a run and in its report: tables, plots, groups, stores of older versions."""

from pathlib import Path

import numpy as np
import pytest

from answer_stores import draw_records, fill_answers
from dlmi_bench.metrics.curves import compute_net_benefit, compute_reliability, compute_risk_coverage
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_reports import write_report
from dlmi_reports.plots.probabilities import plot_probabilities
from dlmi_reports.results.answers import read_answers
from dlmi_reports.results.arrays import read_probabilities
from dlmi_reports.results.load import TaskResults, load_results
from dlmi_reports.tables.discrimination import make_discrimination_tables
from report_stores import fill_store

MODELS = {"plain": 1.5, "better": 2.5}


def load(folder: Path, **more: int) -> TaskResults:
    return load_results(fill_answers(folder, draw_records(folder, MODELS, **more))).tasks["toy"]


def test_tables_hold_means_and_mean_bounds(tmp_path: Path) -> None:
    """Each cell is the mean over seeds with the mean of their bounds; a row fits 80 letters."""
    task = load(tmp_path)
    bounded, others = make_discrimination_tables(task)
    assert bounded.header == ["model", "AUC %", "sensitivity %", "calibration error %"]
    figures = [record.figure("test_auc") for record in task.models["plain"].trainings]
    mean, lo, hi = (100 * np.mean([getattr(f, name) for f in figures]) for name in ("value", "lo", "hi"))
    row = next(row for row in bounded.rows if row[0] == "plain")
    assert row[1] == f"{mean:.1f} [{lo:.1f}, {hi:.1f}]"
    assert "independent" in bounded.caption
    assert others.header == ["model", "MCC", "most certain 90 %", "log loss", "Brier", "slope"]
    for table in (bounded, others):
        widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
        assert sum(widths) + 2 * (len(widths) - 1) <= 80


def test_several_classes_have_no_single_sensitivity(tmp_path: Path) -> None:
    """Three classes: average precision in its place, and of the plots the one that is not of two."""
    task = load(tmp_path, n_classes=3)
    assert make_discrimination_tables(task)[0].header == ["model", "AUC %", "AUPRC %", "calibration error %"]
    assert [plot.name for plot in plot_probabilities(task)] == ["errors-toy"]


def test_older_stores_have_no_such_tables(tmp_path: Path) -> None:
    """Without the figures there is no table, and the report is written."""
    task = load_results(fill_store(tmp_path)).tasks["toy"]
    assert make_discrimination_tables(task) == []
    assert plot_probabilities(task) == []


def test_plots_say_what_they_show(tmp_path: Path) -> None:
    """Calibration, net benefit and errors of both models, from the scores of all seeds."""
    task = load(tmp_path)
    found = read_probabilities(task.models["plain"])
    assert found is not None
    assert (found[0].shape, found[2]) == ((600, 2), 3)
    plots = plot_probabilities(task)
    assert [plot.name for plot in plots] == ["reliability-toy", "benefit-toy", "errors-toy"]
    for plot in plots:
        assert "plain" in plot.svg
        assert "Models: plain, better." in plot.alt


def test_report_explains_the_figures(tmp_path: Path) -> None:
    """Both tables stand in the details with the paragraph on how they are measured."""
    store = fill_answers(tmp_path, draw_records(tmp_path, MODELS))
    write_report(store, tmp_path / "report")
    details = (tmp_path / "report" / "details.md").read_text()
    assert "Discrimination and calibration" in details
    assert "Areas, thresholds and calibration come from the scores" in details


def test_groups_widen_what_the_report_says(tmp_path: Path) -> None:
    """Of images in fours that are alike, the mean accuracy is worth about a quarter of them, and no mark is needed."""
    task = load(tmp_path, n=400, group_size=4)
    accuracy = task.models["plain"].compute_accuracy()
    assert accuracy is not None
    assert (accuracy.n, accuracy.n_effective) == (400, pytest.approx(115, abs=25))
    lo, hi = compute_wilson(accuracy.mean * 400, 400)
    assert (accuracy.hi - accuracy.lo) / (hi - lo) > 1.6
    assert all(not figure.notes for record in task.trainings for figure in record.figures)
    assert "Groups of examples are sampled as one." in make_discrimination_tables(task)[0].caption


def test_tables_of_claims_hold_groups(tmp_path: Path) -> None:
    """Two-way tables have a column for each group, of the same mean as the accuracies."""
    model = load(tmp_path, n=400, group_size=4).models["plain"]
    answers = read_answers(model, "test_accuracy")
    assert answers.table.shape == (3, 100)
    assert answers.table.mean(1) == pytest.approx(model.values("test_accuracy"))


def test_reliability_by_hand() -> None:
    """Two probabilities make two bins: .2 came true in none of ten, .8 in all of them."""
    chances = np.repeat([0.2, 0.8], 10)
    found = compute_reliability(chances, chances > 0.5)
    assert found.expected == pytest.approx([0.2, 0.8])
    assert (found.observed.tolist(), found.n.tolist()) == ([0, 1], [10, 10])


def test_net_benefit_by_hand() -> None:
    """At .5, of four examples two rightly and one wrongly called: 2/4 - 1/4; near 0 it is the prevalence."""
    chances, is_positive = np.array([0.9, 0.6, 0.7, 0.1]), np.array([True, True, False, False])
    assert compute_net_benefit(chances, is_positive, np.array([0.5, 1e-9])) == pytest.approx([0.25, 0.5])


def test_risk_and_coverage_by_hand() -> None:
    """Most certain first: right, wrong, right."""
    coverage, risk = compute_risk_coverage(np.array([0.5, 0.9, 0.7]), np.array([True, True, False]))
    assert coverage == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk == pytest.approx([0, 1 / 2, 1 / 3])
