"""Predictions and figures that others report: read, checked, and made into results like those of trainings.

Accuracies come from `keep`; figures of other metrics (`dlmi_bench.metrics`) join them there, in `list_figures`.
"""
