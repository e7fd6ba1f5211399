"""Small programs that time spins with other people's tools. They import the tool and the spins, nothing else of ours.

Each takes a JSON list of [duration in s, seed] and prints a JSON list of what the tool reported.
"""
