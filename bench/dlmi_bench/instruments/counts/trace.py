"""Multiply-accumulates by fvcore, which traces with TorchScript and reads the shapes off the graph."""

from collections.abc import Callable
from math import prod
from typing import Any

from fvcore.nn import jit_handles as fvcore
from fvcore.nn.jit_analysis import JitModelAnalysis
from torch import Tensor, nn

from dlmi_bench.instruments.counts.harmless import is_harmless
from dlmi_bench.instruments.counts.meta import list_tensors
from dlmi_bench.instruments.counts.products import Products, select_uncounted

Handle = Callable[[list[Any], list[Any]], Any]


class _Flat(nn.Module):
    """A network whose output is a tuple of tensors, since TorchScript takes no dataclass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, example: Tensor) -> tuple[Tensor, ...]:
        return tuple(list_tensors(self.network(example)))


def count_by_trace(network: nn.Module, example: Tensor) -> Products:
    """Count `network`, on the CPU and in the mode that it is in, on one example, (1, channel, height, width)."""
    macs, activations = [0], [0]

    def watch(handle: Handle) -> Handle:
        def count(inputs: list[Any], outputs: list[Any]) -> int:
            found = handle(inputs, outputs)
            n = int(sum(found.values()) if isinstance(found, dict) else found)
            macs.append(n)
            activations.append(prod(_get_shape(outputs[0])))
            return n

        return count

    analysis = JitModelAnalysis(_Flat(network), example)
    for name, handle in _list_handles().items():
        analysis.set_op_handle(f"aten::{name}", watch(handle))
    # What it could not count goes into the record instead of the log.
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.total()
    unknown = analysis.unsupported_ops().elements()
    return Products(
        "trace",
        "fvcore",
        sum(macs),
        n_counted=len(macs) - 1,
        uncounted=select_uncounted(name for name in unknown if not is_harmless(name.removeprefix("aten::"))),
        n_activations=sum(activations),
    )


def _list_handles() -> dict[str, Handle]:
    """List the formulas of multiply-accumulates: fvcore's own, and those that it lacks or has for some shapes only."""
    return {
        "_convolution": fvcore.conv_flop_jit,
        "_convolution_mode": count_padded_convolution_macs,
        "linear": fvcore.linear_flop_jit,
        "addmm": fvcore.addmm_flop_jit,
        "mm": count_product_macs,
        "matmul": count_product_macs,
        "bmm": count_product_macs,
        "baddbmm": lambda inputs, outputs: count_product_macs(inputs[1:], outputs),
        "einsum": count_einsum_macs,
        "scaled_dot_product_attention": count_attention_macs,
        "lstm": count_recurrent_macs,
        "gru": count_recurrent_macs,
        "rnn_tanh": count_recurrent_macs,
        "rnn_relu": count_recurrent_macs,
    }


def count_product_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of (.., M, K) x (.., K, N), of which leading axes are repeated and M or N may lack: K per output."""
    return prod(_get_shape(outputs[0])) * _get_shape(inputs[0])[-1]


def count_padded_convolution_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of a convolution with padding in words, weights (out, in / groups, kernel..): one kernel per output."""
    return prod(_get_shape(outputs[0])) * prod(_get_shape(inputs[1])[1:])


def count_einsum_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of two factors: sizes of all letters, but for those that one factor alone has and that are summed first.

    More factors, and axes without a letter, are left to fvcore, which rounds to four digits.
    """
    equation = inputs[0].toIValue().replace(" ", "")
    terms, arrow, output = equation.partition("->")
    factors = terms.split(",")
    if len(factors) == 1:
        return 0
    if not arrow or "." in equation or len(factors) > 2:
        macs: Any = fvcore.einsum_flop_jit(inputs, outputs)
        return int(macs)
    shapes = [_get_shape(value) for value in inputs[1].node().inputs()]
    sizes = {a: n for term, shape in zip(factors, shapes, strict=True) for a, n in zip(term, shape, strict=True)}
    common = set(factors[0]) & set(factors[1])
    return prod(sizes[letter] for letter in common | set(output)) if common - set(output) else 0


def count_recurrent_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of all matrices of recurrent layers on inputs (.., feature): each meets every step of every example."""
    weights = [value for value in inputs if value.node().kind() == "prim::ListConstruct"][-1]
    shapes = [_get_shape(value) for value in weights.node().inputs()]
    return prod(_get_shape(inputs[0])[:-1]) * sum(prod(shape) for shape in shapes if len(shape) == 2)


def count_attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of softmax(Q K') V for Q (.., L, E), K (.., S, E), V (.., S, Ev): L S (E + Ev) per head."""
    query, key, value = (_get_shape(x) for x in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _get_shape(value: Any) -> list[int]:
    return [int(size) for size in fvcore.get_shape(value) or ()]
