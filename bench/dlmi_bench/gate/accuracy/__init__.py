"""Whether a candidate is less accurate."""
