"""A referee trains models by their recipes alone, with seeds and a disguise that no recipe knows, then checks files."""
