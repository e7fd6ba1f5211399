"""Packed numbers of an ONNX file: every byte that they need, counted from the file alone.

Each constant tensor is written in the smallest of a fixed list of exact encodings, and in the smallest layout. Reading
gives every bit back. The graph, names and attributes are not in it: a program that runs the model has them in its code.

    content    MAGIC, CRC-32 of all that follows (4 bytes), number of tensors, tensors in the order of the file
    tensor     layout and type (1 byte: 32 x place in LAYOUTS + number of the type in ONNX),
               axes and encoding (1 byte: 32 x number of axes + place in ENCODINGS), size of each axis,
               index (see layouts.py), scales, numbers
    number     whole ones of the header: 7 bits a byte, lowest first, 128 added where another byte follows

Bytes of multi-byte numbers: lowest first. Fields of fewer bits than a byte: highest bit first, the last byte filled up.
"""
