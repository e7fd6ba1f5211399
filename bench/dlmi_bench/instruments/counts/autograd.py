"""Products of training by the graph that autograd builds, without running it backward."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from dlmi_bench.instruments.counts.meta import OnMeta, list_roots, train
from dlmi_bench.instruments.counts.products import Products
from dlmi_bench.instruments.counts.trace import count_by_trace

SOURCE = "fvcore and autograd's graph"


def count_training_by_autograd(network: nn.Module, example: Tensor) -> Products:
    """Count forward and backward of `network`, on the CPU, in training mode for one example; it ends on meta.

    The forward is that of a trace. The gradient of each factor of a product has as many multiply-accumulates as the
    product itself, and is formed where autograd's graph leads on to that factor.

    Raises:
        UsageError: no output carries a gradient.
    """
    train(network)
    forward = count_by_trace(network, example)
    network.to("meta")
    with torch.device("meta"), OnMeta():
        roots = list_roots(network(example.to("meta")))
    n_backward = sum(map(_count_gradients, _list_nodes(roots)))
    return replace(forward, counter="autograd", source=SOURCE, macs=(forward.macs or 0) + n_backward)


def _list_nodes(roots: list[Tensor]) -> list[Any]:
    """List all nodes of the graph behind `roots`, each once."""
    found = dict.fromkeys(root.grad_fn for root in roots)
    waiting = list(found)
    while waiting:
        node = waiting.pop()
        new = [n for n, _ in getattr(node, "next_functions", ()) if n is not None and n not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return [node for node in found if node is not None]


def _count_gradients(node: Any) -> int:
    """Multiply-accumulates of the gradients that one node of the graph forms."""
    if node.name() not in FORMULAS:
        return 0
    first, count = FORMULAS[node.name()]
    n_gradients = sum(n is not None for n, _ in node.next_functions[first : first + 2])
    return n_gradients * count(node) if n_gradients else 0


def _convolve(node: Any) -> int:
    """Weights (out, in / groups, kernel..): all outputs, transposed all inputs, meet one kernel each."""
    shape = node._saved_input.shape if node._saved_transposed else _get_output_shape(node)
    return prod(shape) * prod(node._saved_weight.shape[1:])


def _multiply(node: Any) -> int:
    """(M, K) x (K, N)."""
    return prod(node._saved_self_sym_sizes) * node._saved_mat2_sym_sizes[-1]


def _multiply_and_add(node: Any) -> int:
    """(M, N) + (M, K) x (K, N)."""
    return prod(node._saved_mat1_sym_sizes) * node._saved_mat2_sym_sizes[-1]


def _multiply_batch(node: Any) -> int:
    """(B, M, K) x (B, K, N); autograd keeps only the factors that a gradient needs."""
    left, right = node._saved_self, node._saved_mat2
    return prod(_get_output_shape(node)) * (left.shape[-1] if left is not None else right.shape[-2])


def _multiply_batch_and_add(node: Any) -> int:
    """(B, M, N) + (B, M, K) x (B, K, N)."""
    left, right = node._saved_batch1, node._saved_batch2
    return prod(_get_output_shape(node)) * (left.shape[-1] if left is not None else right.shape[-2])


def _get_output_shape(node: Any) -> torch.Size:
    shape: torch.Size = node._input_metadata[0].shape  # a node takes in the gradient of the operator's output
    return shape


# By node, with the place of the first of its two factors among the operator's inputs.
FORMULAS: dict[str, tuple[int, Callable[[Any], int]]] = {
    "ConvolutionBackward0": (0, _convolve),
    "MmBackward0": (0, _multiply),
    "AddmmBackward0": (1, _multiply_and_add),
    "BmmBackward0": (0, _multiply_batch),
    "BaddbmmBackward0": (1, _multiply_batch_and_add),
}
