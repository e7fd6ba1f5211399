"""PPMI downloads."""
