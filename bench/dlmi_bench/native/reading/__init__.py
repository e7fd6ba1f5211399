"""ONNX files read as nets: one reader for each operator, in tables by name."""
