"""Parameters and multiply-accumulates, counted by unrelated tools that have to agree.

`macs` are multiply-accumulates of convolutions and matrix products for one example; flops are 2 x macs, always derived.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.instruments.counts.products import Products

if TYPE_CHECKING:
    import torch
    from torch import nn

MAX_DISAGREEMENT = 0.01
FORMULA = "closed_form"


@dataclass(frozen=True)
class Counts:
    """Counts of a model that need no clock.

    Attributes:
        products: By each counter, the reference first.
        training: Forward and backward, in the same way.
    """

    n_parameters: int
    n_trainable: int
    products: tuple[Products, ...]
    training: tuple[Products, ...]

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates by the first counter that could count."""
        return next((p.macs for p in self.products if p.macs is not None), None)

    @property
    def training_flops(self) -> int | None:
        """Flops of forward and backward by the first counter that could count."""
        return next((2 * p.macs for p in self.training if p.macs is not None), None)

    @property
    def n_activations(self) -> int | None:
        """Elements of the outputs of all convolutions and matrix products."""
        return next((p.n_activations for p in self.products if p.n_activations is not None), None)

    @property
    def disagreement(self) -> float:
        """Largest relative difference between two counters."""
        return compute_disagreement(self.products)


def compute_disagreement(products: tuple[Products, ...]) -> float:
    """Largest relative difference between two counters; 0 where fewer than two could count."""
    found = [p.macs for p in products if p.macs is not None]
    return (max(found) - min(found)) / max(*found, 1) if found else 0.0


def measure_counts(network: "nn.Module", input_shape: tuple[int, ...], *, closed_form: int | None = None) -> Counts:
    """Count one example of `input_shape` (channel, height, width). The network itself is left untouched.

    Args:
        closed_form: Multiply-accumulates by the formula of the architecture, where there is one.

    Raises:
        UsageError: the network cannot be copied to the CPU, or its lazy layers cannot be made.
    """
    network, example = _copy(network, input_shape)
    parameters = list(network.parameters())
    n_parameters, n_trainable = (
        sum(p.numel() for p in parameters if p.requires_grad or every) for every in (True, False)
    )
    with _without_fast_path():
        products, training = _count_products(network, example, is_trainable=n_trainable > 0)
    if closed_form is not None:
        products = (*products, Products(FORMULA, "formula of the architecture", closed_form))
    return Counts(n_parameters, n_trainable, products, training)


def _count_products(
    network: "nn.Module", example: "torch.Tensor", *, is_trainable: bool
) -> tuple[tuple[Products, ...], tuple[Products, ...]]:
    """Products of the forward and of training by each counter; `network` comes on the CPU and ends on meta."""
    from dlmi_bench.instruments.counts.autograd import count_training_by_autograd
    from dlmi_bench.instruments.counts.dispatch import SOURCE, count_by_dispatch, count_training_by_dispatch
    from dlmi_bench.instruments.counts.trace import count_by_trace

    trace = _try("trace", "fvcore", lambda: count_by_trace(network, example))
    training: tuple[Products, ...] = ()
    if is_trainable:
        autograd = _try("autograd", "fvcore", lambda: count_training_by_autograd(network, example))
        training = (_try("dispatch", SOURCE, lambda: count_training_by_dispatch(network, example)), autograd)
    return (_try("dispatch", SOURCE, lambda: count_by_dispatch(network, example)), trace), training


def _copy(network: "nn.Module", input_shape: tuple[int, ...]) -> "tuple[nn.Module, torch.Tensor]":
    """A copy on the CPU, in evaluation mode lest tracing update running statistics, and one example of its type."""
    import torch
    from torch.nn.parameter import UninitializedBuffer, is_lazy

    try:
        # Such a buffer cannot be copied by deepcopy, which takes what it finds here.
        unmade = {id(b): UninitializedBuffer(dtype=b.dtype) for b in network.buffers() if is_lazy(b)}  # type: ignore[call-arg]
        copied = copy.deepcopy(network, unmade).cpu().eval()
        types = [p.dtype for p in copied.parameters() if p.is_floating_point()]
        example = torch.zeros(1, *input_shape, dtype=types[0] if types else torch.float32)
        if any(is_lazy(tensor) for tensor in (*copied.parameters(), *copied.buffers())):
            copied(example)  # makes them
    except (Exception, SystemExit) as error:
        remedy = "make it on the CPU of what deepcopy copies (weight_norm: that of torch.nn.utils.parametrizations)"
        raise UsageError(f"the network cannot be counted: {_describe(error)}", remedy) from error
    return copied, example


def _try(counter: str, source: str, count: Callable[[], Products]) -> Products:
    try:
        return count()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's network raises is the reason
        reason = error.cause if isinstance(error, BenchError) else _describe(error)
        return Products(counter, source, None, reason=reason)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """torch's fused encoder layer is one operator without a formula: it would hide half of a transformer."""
    import torch

    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
