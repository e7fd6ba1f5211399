"""The table of a study: accuracy and costs of each model in one row, and why something is not available."""

from pathlib import Path

import pytest

from dlmi_bench.errors import UsageError
from dlmi_bench.records import Mark, Note, unavailable
from dlmi_reports.plots.joined import LABELS, draw_joined
from dlmi_reports.tables.joined import format_joined, list_joined, list_reasons
from report_stores import measured_records, train_record
from test_report_own import load


def test_row_holds_plain_numbers_in_si_units(tmp_path: Path) -> None:
    """Means over seeds, exact counts without bounds, the median of the training times with its range."""
    trainings = [train_record("net", index, 0.9, 2.0) for index in (0, 1)]
    (row,) = list_joined(load(tmp_path, *trainings, *measured_records("net", 1000, 2e-5)))
    assert (row["task"], row["model"], row["n_trainings"]) == ("toy", "net", 2)
    assert (row["test_accuracy"], row["n_parameters"]) == (pytest.approx(0.9), 1000)
    assert row["latency_s"] == pytest.approx(2e-5)
    assert (row["training_s"], row["training_s_lo"], row["training_s_hi"]) == (4.5, 4.0, 5.0)
    assert "n_parameters_lo" not in row


def test_text_fits_a_terminal(tmp_path: Path) -> None:
    """A model of 28 characters with all its figures takes at most 100 columns, notes 80, and what is missing is n/a."""
    full = [train_record("a", 0, 0.9, 2.0), *measured_records("a", 1_000_000, 2e-5)]
    text = format_joined(list_joined(load(tmp_path, *full, train_record("b" * 28, 0, 0.5, None))))
    assert max(map(len, text.splitlines())) <= 100
    assert max(map(len, text.splitlines()[-2:])) <= 80
    (line,) = (line for line in text.splitlines() if line.startswith("bbb"))
    assert line.split()[-5:-2] == ["n/a", "n/a", "n/a"]


def test_what_is_not_available_says_why(tmp_path: Path) -> None:
    """A network that diverged, and a latency that the instruments refuse; other tasks are not asked."""
    diverged = train_record("a", 0, 0.9, 2.0)
    figures = [f for f in diverged.figures if f.name != "test_accuracy"]
    diverged = diverged.model_copy(update={"figures": (unavailable("test_accuracy", "training diverged"), *figures)})
    measured = measured_records("b", 10, 2e-5)
    refused = [
        record.model_copy(
            update={
                "figures": tuple(
                    f.model_copy(update={"notes": (Note(Mark.INVALID, "pre-empted"),)}) if f.name == "latency_s" else f
                    for f in record.figures
                )
            }
        )
        for record in measured
    ]
    results = load(tmp_path, diverged, train_record("b", 0, 0.9, 2.0), *refused)
    assert list_reasons(results, ["toy"]) == [
        "toy: latency of b: INVALID: pre-empted",
        "toy: accuracy of a: training diverged",
    ]
    assert list_reasons(results, ["other"]) == []


@pytest.mark.parametrize("cost", LABELS)
def test_plot_shows_each_model_that_has_the_cost(cost: str) -> None:
    """A mark and a name for each, in per cent; a cost that nobody has, or that there is not, is an error."""
    row = {"task": "t", "model": "$a$", "test_accuracy": 0.9, "test_accuracy_lo": 0.8, "test_accuracy_hi": 0.95}
    figure = draw_joined([row | {cost: 2.0}, row | {cost: 4.0, "model": "b"}, row | {"model": "c"}], cost)
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [r"\$a\$", "b"]
    assert axis.get_ylim()[0] < 80 < 95 < axis.get_ylim()[1]
    with pytest.raises(UsageError, match="no model has"):
        draw_joined([row], cost)
    with pytest.raises(UsageError, match="no cost 'price'"):
        draw_joined([row], "price")
