"""Staging of Parkinson's disease from DaT-SPECT: a synthetic cohort by default, PPMI's own files where given."""
