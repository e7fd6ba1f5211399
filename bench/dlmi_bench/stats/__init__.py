"""Intervals, percentiles and estimates: pure functions of numbers."""
