"""Commands of the program, one a file; registered in bench/cli.py."""
