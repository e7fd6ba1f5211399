"""Sources of examples: arrays, files and torch datasets."""
