"""The two files of a net: net.c, with its weights, and net.h. Only numbers and names of our own making go into them."""

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from dlmi_bench.native.memory import place_buffers
from dlmi_bench.native.net import Argument, Array, Call, Net, Tensor, Values
from dlmi_bench.native.writing.kernels import find_functions, read_vectors

LINE = 116  # characters of a line of numbers
MANY = """\
void net_run_many(int n, const float *input, float *output, float *scratch)
{
    for (int i = 0; i < n; i++)
        net_run(input + (size_t)i * NET_INPUT, output + (size_t)i * NET_OUTPUT, scratch);
}
"""
HEADER = """\
/* A net of {n_parameters} parameters and {macs} multiply-accumulates, written by dlmi-bench from an ONNX file.
   Its constants take {weight_bytes} bytes. */
#ifndef NET_H
#define NET_H

#define NET_INPUT {n_input} /* floats of an input, {input_shape} */
#define NET_OUTPUT {n_output} /* floats of an output, {output_shape} */
#define NET_SCRATCH {n_scratch} /* floats that a call works in; whatever they held before is lost */

#ifdef __cplusplus
extern "C" {{
#endif

/* One example. Nothing is allocated and nothing kept: calls on memory of their own may run at the same time. */
void net_run(const float *input, float *output, float *scratch);

/* n examples, one after the other in memory. */
void net_run_many(int n, const float *input, float *output, float *scratch);

#ifdef __cplusplus
}}
#endif

#endif
"""


def format_header(net: Net) -> str:
    """Text of net.h."""
    return HEADER.format(
        n_parameters=net.n_parameters,
        macs=net.macs,
        weight_bytes=net.weight_bytes,
        n_input=int(np.prod(net.input_shape)),
        input_shape=net.input_shape,
        n_output=net.output.size,
        output_shape=net.output_shape,
        n_scratch=count_scratch(net),
    )


def format_source(net: Net) -> str:
    """Text of net.c."""
    functions = find_functions({call.kernel for call in net.calls} | {"copy"})
    text = "\n\n".join(functions)
    includes = ["net.h"] + ["math.h"] * any(f"{name}(" in text for name in ("expf", "logf", "rintf", "fmaf"))
    includes += ["stdint.h"] * ("int8_t" in text) + ["string.h"]
    head = "\n".join(f'#include "{name}"' if name == "net.h" else f"#include <{name}>" for name in includes)
    arrays = "\n\n".join(map(_format_array, net.arrays))
    parts = (head, read_vectors(text).strip(), text, arrays, _format_run(net), MANY.strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def count_scratch(net: Net) -> int:
    """Floats of the scratch memory; one at least, since an array of none is no C."""
    return max(place_buffers(net)[1], 1)


def _format_array(array: Array) -> str:
    kind = TYPES[array.values.dtype.name]
    head = f"/* {array.comment} */\nALIGNED static const {kind} {array.name}[{array.values.size}] = "
    return f"{head}{{\n{format_numbers(array.values)}\n}};"


def format_numbers(values: Values) -> str:
    """Lines of C constants by the type of the array."""
    words = map(FORMATS[values.dtype.name], values.reshape(-1))
    return textwrap.fill(", ".join(words), LINE, initial_indent="    ", subsequent_indent="    ")


def format_double(value: np.floating) -> str:
    """The shortest decimal number that is read back as exactly this one, as a C constant."""
    text = str(value)
    return text if "." in text or "e" in text else f"{text}.0"


def format_float(value: np.float32) -> str:
    return f"{format_double(value)}f"


def format_word(value: np.unsignedinteger) -> str:
    return f"0x{value:08x}u"


TYPES = {"float32": "float", "int32": "int", "int8": "int8_t", "uint32": "uint32_t"}
FORMATS: dict[str, Callable[[Any], str]] = {
    "float32": format_float,
    "float64": format_double,
    "int32": str,
    "int8": str,
    "uint32": format_word,
}


def _format_run(net: Net) -> str:
    offsets, _ = place_buffers(net)
    lines = [f"    float *{name} = scratch + {offset};" for name, offset in offsets.items()]
    lines += [format_call(call) for call in net.calls]
    lines.append(f"    copy({format_argument(net.output)}, output, NET_OUTPUT);")
    if not offsets:
        lines.insert(0, "    (void)scratch;")
    return "\n".join(["void net_run(const float *input, float *output, float *scratch)", "{", *lines, "}"])


def format_call(call: Call) -> str:
    arguments = ", ".join(map(format_argument, call.arguments))
    return f"    /* {call.comment} */\n    {call.kernel}({arguments});"


def format_argument(value: Argument) -> str:
    if isinstance(value, Tensor):
        return f"{value.buffer} + {value.offset}" if value.offset else value.buffer
    if isinstance(value, Array):
        return value.name
    return format_float(value) if isinstance(value, np.floating) else str(value)
