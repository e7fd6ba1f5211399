"""Claims in TOML, and the verdicts on them."""
