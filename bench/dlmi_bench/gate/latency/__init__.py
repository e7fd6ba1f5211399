"""Whether a candidate is slower."""
