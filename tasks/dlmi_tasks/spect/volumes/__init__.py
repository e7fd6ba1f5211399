"""Volumes from outside on the study's grid: read, turned, resampled, registered and guarded. Start at `read.py`."""
