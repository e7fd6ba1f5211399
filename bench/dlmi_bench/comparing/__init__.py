"""Several ONNX files side by side: accuracy, agreement, counts, memory, latency and energy in one session."""
