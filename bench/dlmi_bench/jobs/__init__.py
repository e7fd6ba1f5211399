"""Everything that runs in a worker process, and how the parent asks for it."""
