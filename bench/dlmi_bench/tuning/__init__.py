"""Tuning of recipes by validation, with the same number of trials for every model, all of them counted."""
