"""Subgroups of the test examples, by site, sex, age or any column: accuracy, and difference from all others."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.subgroups import Subgroup, compare_subgroups
from dlmi_bench.records import Record
from dlmi_bench.store.artifacts import TRAIT
from dlmi_bench.units import format_count, format_percent
from dlmi_reports.results.arrays import UnmeasuredError, find_array
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.classes import read_classes

N_MODELS, N_GROUPS = 10, 12  # models of a table, fewest parameters first, and subgroups of a column
N_BANDS = 3
CAPTION = (
    "Accuracy by {name}: with its 95 % interval, and less that of all other test examples, with bounds that hold for "
    "all subgroups of a model together (p corrected by Holm). Seeds are pooled; an example, or a group, is one unit."
)
Words = NDArray[np.str_]


def make_subgroup_tables(task: TaskResults) -> list[Table]:
    """Make a table for each column that is known of the test examples; none where all are alike."""
    first = next(task.trainings, None)
    names = list_traits(first) if first else []
    header = ["model", "subgroup", "n", "test %", "less all others, points", "p"]
    tables = []
    for index, name in enumerate(names):
        rows = [row for model in task.by_size[:N_MODELS] for row in _list_rows(model, index, read_classes(task))]
        if rows:
            tables.append(Table(f"By {name}", CAPTION.format(name=name), header, rows, is_for_paper=True))
    return tables


def list_traits(record: Record) -> list[str]:
    """List the columns that are known of the test examples of a training."""
    names = record.provenance.get("traits")
    return [str(name) for name in names] if isinstance(names, list) else []


def _list_rows(model: ModelResults, index: int, names: list[str]) -> Iterator[list[str]]:
    parts = []
    for number, record in enumerate(model.trainings):
        try:
            parts.append(_read(record, index, number, model))
        except UnmeasuredError:
            continue
    if not parts:
        return
    scores, labels, words, examples, units = map(np.concatenate, zip(*parts, strict=True))
    column = band(words)
    if len(np.unique(column)) < 2 or not np.isfinite(scores).all():
        return
    found = compare_subgroups(scores, labels, column, class_names=names, measure="test_accuracy", groups=units)
    for group in found[:N_GROUPS]:
        n = len(np.unique(examples[column == group.name]))
        yield [model.name, group.name or "not known", format_count(n), *_render(group)]


def _read(
    record: Record, index: int, number: int, model: ModelResults
) -> tuple[NDArray[np.float64], NDArray[np.int64], Words, NDArray[np.int64], NDArray[np.int64]]:
    """Read scores, labels, subgroups, numbers of examples and units of one training.

    Groups are numbered in each fold apart, so that those of two folds are never the same.
    """
    scores, labels = (find_array(record, f"test_{what}", model) for what in ("scores", "labels"))
    words = find_array(record, f"{TRAIT}{index}", model).astype(str)
    roles = {artifact.role for artifact in record.artifacts}
    is_folded = "test_index" in roles
    examples = find_array(record, "test_index", model) if is_folded else np.arange(len(labels))
    units = examples
    if "test_groups" in roles:
        units = find_array(record, "test_groups", model).astype(np.int64) + (number << 32 if is_folded else 0)
    return scores.astype(float), labels, words, examples, units


def band(words: Words) -> Words:
    """Numbers of more than N_GROUPS values in bands with as many examples each; anything else as it is."""
    if len(np.unique(words)) <= N_GROUPS:
        return words
    try:
        values = words.astype(float)
    except ValueError:
        return words
    borders = np.quantile(values, np.linspace(0, 1, N_BANDS + 1))
    place = np.clip(np.searchsorted(borders[1:-1], values, side="left"), 0, N_BANDS - 1)
    names = [f"{low:g} to {high:g}" for low, high in pairwise(borders)]
    return np.array([names[i] for i in place])


def _render(group: Subgroup) -> list[str]:
    if group.value is None:
        return [f"n/a ({group.reason})", "", ""]
    own = f"{format_percent(group.value)} [{format_percent(group.lo or 0.0)}, {format_percent(group.hi or 0.0)}]"
    if group.difference is None or group.difference_lo is None or group.difference_hi is None:
        return [own, f"n/a ({group.reason})", ""]
    points = (100 * value for value in (group.difference, group.difference_lo, group.difference_hi))
    value, lo, hi = (f"{x:.1f}" for x in points)
    return [own, f"{value} [{lo}, {hi}]", f"{group.p:.2g}"]
