"""Commands of the program, one a file, registered in `main`: arguments and exit codes, nothing else."""
