"""Parameters and multiply-accumulates, counted by unrelated tools that have to agree.

`macs` are multiply-accumulates of convolutions and matrix products for one example; flops are 2 x macs, always derived.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlmi_bench.errors import UsageError
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
        training_flops: Forward and backward for one example; None where it could not be counted.
    """

    n_parameters: int
    n_trainable: int
    products: tuple[Products, ...]
    training_flops: int | None = None
    training_reason: str = ""

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates by the first counter that could count."""
        return next((p.macs for p in self.products if p.macs is not None), None)

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
    from dlmi_bench.instruments.counts.dispatch import count_by_dispatch, count_training_flops
    from dlmi_bench.instruments.counts.trace import count_by_trace

    network, example = _copy(network, input_shape)
    parameters = list(network.parameters())
    n_parameters, n_trainable = (
        sum(p.numel() for p in parameters if p.requires_grad or every) for every in (True, False)
    )
    training_flops, training_reason = None, "" if n_trainable else "no trainable parameter"
    with _without_fast_path():
        trace = _try("trace", "fvcore", lambda: count_by_trace(network, example))
        meta = example.to("meta")
        dispatch = _try("dispatch", "FlopCounterMode on meta", lambda: count_by_dispatch(network.to("meta"), meta))
        try:
            training_flops = count_training_flops(network.to("meta"), meta) if n_trainable else None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's network raises is the reason
            training_reason = _describe(error)
    products = [dispatch, trace]
    if closed_form is not None:
        products.append(Products(FORMULA, "formula of the architecture", closed_form))
    return Counts(n_parameters, n_trainable, tuple(products), training_flops, training_reason)


def _copy(network: "nn.Module", input_shape: tuple[int, ...]) -> "tuple[nn.Module, torch.Tensor]":
    """A copy on the CPU, in evaluation mode lest tracing update running statistics, and one example of its type."""
    import torch
    from torch.nn.parameter import is_lazy

    try:
        copied = copy.deepcopy(network).cpu().eval()
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
        return Products(counter, source, None, reason=_describe(error))


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
