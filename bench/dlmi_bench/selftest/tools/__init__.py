"""Other benchmark tools, each measuring the same workloads in its own way."""
