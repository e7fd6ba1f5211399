"""Decide whether a candidate is less accurate than its baseline."""
