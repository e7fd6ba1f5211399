"""Figures of answers: scores and labels of test examples in, figures with intervals out. No torch, no files."""

from dlmi_bench.metrics.answers import describe_answers
from dlmi_bench.metrics.areas import AreaDifference, compare_areas
from dlmi_bench.metrics.subgroups import Subgroup, compare_subgroups

__all__ = ["AreaDifference", "Subgroup", "compare_areas", "compare_subgroups", "describe_answers"]
