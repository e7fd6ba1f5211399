"""More seeds where they decide claims: `run --until-decided`."""
