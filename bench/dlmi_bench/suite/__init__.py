"""Suites: which cells there are, whether stored ones still hold, and the run that fills the store."""
