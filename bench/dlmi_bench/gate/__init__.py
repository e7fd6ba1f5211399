"""Verdicts: baseline against candidate, side by side."""
