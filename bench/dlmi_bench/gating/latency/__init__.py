"""Decide whether a candidate is slower than its baseline."""
