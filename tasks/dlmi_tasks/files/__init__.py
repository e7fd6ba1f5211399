"""Files that data comes from: archives, folders, the cache."""
