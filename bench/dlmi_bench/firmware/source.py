"""The C file of a net: constant arrays, a table of layers, and one function for all of them."""

from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from dlmi_bench.firmware.net import IntegerLayer, IntegerNet, Integers

FILES = Path(__file__).parent / "files"
COLUMNS = 110  # of a line of numbers
NIBBLE = 15
EACH = "one for each output channel"
ALWAYS = "shift"  # field that the table has even of a single layer: C knows no empty one


def format_source(net: IntegerNet) -> str:
    """C99 of a net; what all layers have in common is a number in the code, the rest is in the table."""
    fields, members = _place_fields([*map(_list_fields, net.layers)])
    biases = np.concatenate([layer.bias >> layer.bias_shift for layer in net.layers])
    multipliers = np.concatenate([layer.multipliers for layer in net.layers])
    weights = np.concatenate([layer.weights.reshape(-1) for layer in net.layers])
    leaves = any(map(_leaves_map, net.layers))
    has_multipliers = bool((multipliers != 1).any())
    sizes = _list_sizes(net)
    rows = [", ".join(str(values[i]) for values in members.values()) for i in range(len(net.layers))]
    return Template((FILES / "net.c.in").read_text("utf-8")).substitute(
        fields,
        members="\n".join(_format_member(name, values, fields) for name, values in members.items()),
        table="\n".join(f"    {{{row}}}, /* {_describe(step)} */" for row, step in zip(rows, net.layers, strict=True)),
        weights=_format_array("weights", pack(weights) if net.bits == 4 else weights, f"of {net.bits} bits"),
        biases=_format_array("biases", biases, EACH),
        multipliers=f"{_format_array('multipliers', multipliers, EACH)}\n" if has_multipliers else "",
        weight="unpack(k + j)" if net.bits == 4 else "weights[k + j]",
        unpack=UNPACK if net.bits == 4 else "",
        scale=f"sum *= multipliers[o];\n{' ' * 20}" if has_multipliers else "",
        row_guard=f"if ((unsigned)i < {fields['height']}) " if leaves else "",
        column_guard=f"if ((unsigned)j < {fields['width']})\n{' ' * 20}" if leaves else "",
        n_layers=len(net.layers),
        n_inputs=net.n_inputs,
        n_classes=net.n_classes,
        n_first=max(sizes[0::2]),
        n_second=max(sizes[1::2]),
        n_scores=max(layer.layer.shape[0] for layer in net.layers),
        exponent=net.exponent,
    )


UNPACK = """/* Weight number k, -8 to 7: two in a byte, the first one in its lower half. */
static int unpack(int k)
{
    return (int8_t)(weights[k >> 1] << (k & 1 ? 0 : 4)) >> 4;
}

"""


def _leaves_map(step: IntegerLayer) -> bool:
    """Check whether a kernel ever reaches beyond the border of its map."""
    layer = step.layer
    sides = zip(layer.shape[1:], layer.weights.shape[2:], layer.input_shape[1:], strict=True)
    return layer.pad > 0 or any((n - 1) * layer.stride + kernel > side for n, kernel, side in sides)


def pack(weights: Integers) -> Integers:
    """Weights of 4 bits, two in a byte, the first one in its lower half."""
    filled = np.append(weights, 0)[: len(weights) + len(weights) % 2] & NIBBLE
    return (filled[::2] | filled[1::2] << 4).astype(np.uint8).astype(np.int64)


def _list_sizes(net: IntegerNet) -> list[int]:
    """Bytes of the input and of the output of each layer: even ones lie in one map, odd ones in the other."""
    return [net.n_inputs, *(prod(step.layer.output_shape) for step in net.layers)]


def _list_fields(step: IntegerLayer) -> dict[str, int]:
    layer = step.layer
    _, depth, kernel_height, kernel_width = layer.weights.shape
    _, height, width = layer.input_shape
    return {
        "n_out": layer.shape[0],
        "depth": depth,
        "height": height,
        "width": width,
        "kernel_height": kernel_height,
        "kernel_width": kernel_width,
        "rows": layer.shape[1],
        "columns": layer.shape[2],
        "pad": layer.pad,
        "stride": layer.stride,
        "pool": layer.pool.bit_length() - 1,
        "pool_mask": layer.pool - 1,
        "volume": depth * kernel_height * kernel_width,
        "hop": height * width if layer.has_own_maps else 0,
        "bias_shift": step.bias_shift,
        "slope": step.slope,
        "shift": step.shift,
    }


def _place_fields(rows: Sequence[dict[str, int]]) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """What stands for each field in the code, and the members of the table with their values."""
    fields, members = dict[str, str](), dict[str, tuple[int, ...]]()
    for name in rows[0]:
        values = tuple(row[name] for row in rows)
        same = next((other for other in members if members[other] == values), "")
        if len(set(values)) == 1 and name != ALWAYS:
            fields[name] = str(values[0])
        elif same:
            fields[name] = f"l->{same}"
        else:
            fields[name], members[name] = f"l->{name}", values
    return fields, members


def _format_member(name: str, values: tuple[int, ...], fields: dict[str, str]) -> str:
    others = [other for other, text in fields.items() if text == f"l->{name}" and other != name]
    comment = f" /* and {', '.join(others)} */" if others else ""
    return f"    {_choose_type(values)} {name};{comment}"


def _choose_type(values: Iterable[int]) -> str:
    """The smallest type that holds the values."""
    smallest, largest = min(values := tuple(values)), max(values)
    kinds = ("uint8", "int8", "uint16", "int16", "int32")
    return next(f"{k}_t" for k in kinds if np.iinfo(k).min <= smallest and largest <= np.iinfo(k).max)


def _format_array(name: str, values: Integers, comment: str) -> str:
    lines, line = list[str](), ""
    for word in map(str, values.tolist()):
        if len(line) + len(word) + 2 > COLUMNS:
            lines.append(line)
            line = ""
        line += f"{word}, "
    body = "\n".join(f"    {line.rstrip()}" for line in [*lines, line])
    head = f"static const {_choose_type(values.tolist())} {name}[]"
    return f"/* {len(values)} numbers, {comment}. */\n{head} = {{\n{body}\n}};\n"


def _describe(step: IntegerLayer) -> str:
    layer = step.layer

    def say(shape: Iterable[Any]) -> str:
        return "x".join(map(str, shape))

    return f"{say(layer.input_shape)} -> {say(layer.output_shape)}, kernels of {say(layer.weights.shape[1:])}"
