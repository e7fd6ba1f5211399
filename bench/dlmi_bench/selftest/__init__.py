"""The harness measured by itself: workloads of known truth through its own instruments, and through other people's."""
