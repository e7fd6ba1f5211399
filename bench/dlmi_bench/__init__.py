"""The profiling harness and the command line. Nothing is imported here: `bench` spans several floors."""
