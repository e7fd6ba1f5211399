"""ONNX files: read behind one boundary, checked, and their costs that are exact on any machine."""
