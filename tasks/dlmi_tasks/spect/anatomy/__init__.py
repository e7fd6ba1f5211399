"""Real anatomies: grid, atlas and regions."""
