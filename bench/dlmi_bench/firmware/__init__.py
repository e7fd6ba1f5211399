"""ONNX files as images for microcontrollers: integers, one C file, a linked image, and a simulator that runs it."""
