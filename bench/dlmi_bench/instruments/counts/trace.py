"""Multiply-accumulates by fvcore, which traces with TorchScript and reads the shapes off the graph."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from fvcore.nn import jit_handles as fvcore
from fvcore.nn.jit_analysis import JitModelAnalysis

from dlmi_bench.instruments.counts.products import Products, select_uncounted

if TYPE_CHECKING:
    import torch
    from torch import nn

Handle = Callable[[list[Any], list[Any]], Any]
# Without a product of two tensors that is summed over: elementwise, pooling, normalisation, moving of data.
FREE = frozenset(
    f"aten::{name}"
    for name in (
        "abs add add_ adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d alias amax amin argmax avg_pool1d "
        "avg_pool2d avg_pool3d batch_norm bitwise_not channel_shuffle clone copy cos cumsum div div_ elu erf exp "
        "expand_as feature_dropout floor_divide gelu glu group_norm hardsigmoid hardsigmoid_ hardswish hardswish_ "
        "hardtanh hardtanh_ instance_norm layer_norm leaky_relu leaky_relu_ log log_softmax lt max_pool1d max_pool2d "
        "max_pool3d max_pool2d_with_indices maximum mean min minimum mish movedim mul mul_ native_layer_norm neg norm "
        "numpy_T ones_like pad permute pixel_shuffle pow prelu reciprocal relu6 relu6_ repeat rms_norm rsqrt rsub selu "
        "sigmoid sigmoid_ sign silu silu_ sin softmax softplus sqrt square std sub sub_ sum swapaxes tanh tanh_ "
        "tensor_split threshold topk triu tril unflatten upsample_bicubic2d upsample_bilinear2d upsample_nearest2d "
        "var view_as where"
    ).split()
)


def count_by_trace(network: "nn.Module", example: "torch.Tensor") -> Products:
    """Count `network`, on the CPU and in evaluation mode, on one example, (1, channel, height, width)."""
    macs, activations = [0], [0]

    def watch(handle: Handle) -> Handle:
        def count(inputs: list[Any], outputs: list[Any]) -> int:
            found = handle(inputs, outputs)
            n = int(sum(found.values()) if isinstance(found, dict) else found)
            macs.append(n)
            activations.append(prod(_get_shape(outputs[0])))
            return n

        return count

    analysis = JitModelAnalysis(network, example)
    for name, handle in _list_handles().items():
        analysis.set_op_handle(f"aten::{name}", watch(handle))
    # What it could not count goes into the record instead of the log.
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.total()
    return Products(
        "trace",
        "fvcore",
        sum(macs),
        n_counted=len(macs) - 1,
        uncounted=select_uncounted(analysis.unsupported_ops().elements(), FREE),
        n_activations=sum(activations),
    )


def _list_handles() -> dict[str, Handle]:
    """fvcore's own formulas of multiply-accumulates, and the one that it lacks."""
    return {
        "_convolution": fvcore.conv_flop_jit,
        "linear": fvcore.linear_flop_jit,
        "addmm": fvcore.addmm_flop_jit,
        "mm": fvcore.matmul_flop_jit,
        "matmul": fvcore.matmul_flop_jit,
        "bmm": fvcore.bmm_flop_jit,
        "einsum": fvcore.einsum_flop_jit,
        "scaled_dot_product_attention": count_attention_macs,
    }


def count_attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of softmax(Q K') V for Q (.., L, E), K (.., S, E), V (.., S, Ev): L S (E + Ev) per head."""
    query, key, value = (_get_shape(x) for x in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _get_shape(value: Any) -> list[int]:
    return [int(size) for size in fvcore.get_shape(value) or ()]
