"""Nets timed inside C: loops over different inputs, examples that share weights, and the limit of this core."""
