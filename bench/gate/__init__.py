"""Verdicts on a candidate beside its baseline: what is judged, how sure, and with which exit code."""
