"""Tables of the PPMI study and of its image archive, recognised by their columns."""
