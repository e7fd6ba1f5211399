"""ONNX files as C99 source: read to a list of calls, written as a file that a person can read, compiled, called."""
