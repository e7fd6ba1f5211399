"""The front of a report: the answer in a few sentences, and verdicts counted by family."""
