"""What a paper needs beside tables and plots: checklists filled from the records, and a paragraph of methods."""
