"""What is to be learnt, from which data, how well, and by which recipe."""
