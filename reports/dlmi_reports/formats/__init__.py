"""Formats that a report or the figures are written in."""
