"""Blobs: a model and a task for dlmi-bench."""
