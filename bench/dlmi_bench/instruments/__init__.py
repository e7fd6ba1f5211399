"""Instruments: what measures time, memory, energy and counts."""
