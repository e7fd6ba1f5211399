"""The machine: facts, what it is doing, and where a measurement was taken."""
