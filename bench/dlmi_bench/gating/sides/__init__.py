"""The two sides that a gate compares: baseline and candidate."""
