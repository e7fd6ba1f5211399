"""Verdicts on a candidate that is compared with its baseline, side by side on one machine."""
