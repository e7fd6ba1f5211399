"""Nets whose examples share each weight that is read: several of them go through a layer before the next begins."""

from dlmi_bench.native.compiler import compile_library
from dlmi_bench.native.library import Library
from dlmi_bench.native.memory import place_buffers
from dlmi_bench.native.net import BYTES, INPUT, Argument, Call, Net, Tensor
from dlmi_bench.native.timing.texts import read_text
from dlmi_bench.native.writing.source import count_scratch, format_argument, format_header, format_source

N_SHARED = 6  # examples: with two vectors of columns 12 sums, which fill 16 registers with what they read
KERNEL = "dense"
TEXT = """\
#define SHARED {n_shared}
#define STRIDE {stride} /* floats from the scratch memory of one example to the next */

{kernels}

void net_run_shared(int n, const float *input, float *output, float *scratch)
{{
    for (int i = 0; i < n; i += SHARED, input += SHARED * NET_INPUT, output += SHARED * NET_OUTPUT) {{
{lines}
    }}
}}
"""


def find_obstacle(net: Net) -> str:
    """Reason why the examples of a net do not share weights; empty if they can."""
    others = {call.kernel for call in net.calls if call.macs and call.kernel != KERNEL}
    if others == {BYTES}:
        return "layers of bytes share no weights: only those in float32 have such a kernel"
    if others:
        return "only nets of dense layers in float32 share weights; a convolution uses each at many positions anyway"
    return "" if net.macs else "the net has no weights to share"


def load_shared_library(net: Net) -> Library:
    """Compile `net_run_shared`, or find it compiled; the number of examples is a multiple of N_SHARED.

    Raises:
        UnavailableError: there is no compiler that works.
    """
    path = compile_library(format_source(net) + "\n" + format_shared(net), format_header(net))
    return Library(str(path), N_SHARED * _round_up(count_scratch(net)), "net_run_shared")


def format_shared(net: Net) -> str:
    """Text that follows net.c, whose arrays and functions it uses."""
    offsets, _ = place_buffers(net)
    lines = [f"float *{name} = scratch + {offset};" for name, offset in offsets.items()]
    lines += [_format_call(call) for call in net.calls]
    lines.append(_repeat(f"copy({_place(net.output, is_shifted=True)}, output + e * NET_OUTPUT, NET_OUTPUT);"))
    return TEXT.format(
        n_shared=N_SHARED,
        stride=_round_up(count_scratch(net)),
        kernels=read_text("shared").strip(),
        lines="\n".join(" " * 8 + line for line in lines),
    )


def _format_call(call: Call) -> str:
    if call.kernel != KERNEL:
        arguments = ", ".join(_place(value, is_shifted=True) for value in call.arguments)
        return _repeat(f"{call.kernel}({arguments});")
    x, w, b, y, *sizes = call.arguments
    assert isinstance(x, Tensor)
    places = (_place(x), "NET_INPUT" if x.buffer == INPUT else "STRIDE", _place(w), _place(b), _place(y), "STRIDE")
    return f"shared_{KERNEL}({', '.join([*places, *map(str, sizes)])});"


def _repeat(statement: str) -> str:
    return f"for (int e = 0; e < SHARED; e++) {statement}"


def _place(value: Argument, *, is_shifted: bool = False) -> str:
    """An argument of the first example, or of example `e`."""
    if not isinstance(value, Tensor) or not is_shifted:
        return format_argument(value)
    return f"{format_argument(value)} + e * {'NET_INPUT' if value.buffer == INPUT else 'STRIDE'}"


def _round_up(n: int) -> int:
    """Whole cache lines of numbers."""
    return -(-n // 16) * 16
