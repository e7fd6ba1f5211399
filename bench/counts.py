"""Parameters and multiply-accumulates, counted twice by unrelated tools.

`macs` are multiply-accumulates of convolutions and matrix products for one example; flops are 2 x macs, always derived.
"""

import copy
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

MAX_DISAGREEMENT = 0.01
# fvcore counts multiply-accumulates for these and plain operations for the rest: only these are added up.
MAC_OPERATORS = ("conv", "linear", "matmul", "bmm", "addmm", "einsum", "scaled_dot_product_attention")


@dataclass(frozen=True)
class Counts:
    """What can be counted without a clock.

    Attributes:
        macs_fvcore: By fvcore, tracing with TorchScript.
        macs_dispatch: By torch's FlopCounterMode on the meta device, half of its flops.
        uncounted: Operators that fvcore has no formula for, with their number of calls.
    """

    n_parameters: int
    n_trainable: int
    macs_fvcore: int
    macs_dispatch: int
    n_activations: int
    uncounted: dict[str, int]

    @property
    def disagreement(self) -> float:
        """Relative difference of the two MAC counts."""
        return abs(self.macs_fvcore - self.macs_dispatch) / max(self.macs_fvcore, self.macs_dispatch, 1)


def measure_counts(network: "nn.Module", input_shape: tuple[int, ...]) -> Counts:
    """Count one example of `input_shape` (channel, height, width). The network itself is left untouched."""
    network = copy.deepcopy(network).eval()  # tracing would update running statistics
    parameters = list(network.parameters())
    macs_fvcore, n_activations, uncounted = _count_by_trace(network, input_shape)
    return Counts(
        n_parameters=sum(p.numel() for p in parameters),
        n_trainable=sum(p.numel() for p in parameters if p.requires_grad),
        macs_fvcore=macs_fvcore,
        macs_dispatch=_count_by_dispatch(network, input_shape),
        n_activations=n_activations,
        uncounted=uncounted,
    )


def _count_by_trace(network: "nn.Module", input_shape: tuple[int, ...]) -> tuple[int, int, dict[str, int]]:
    import torch
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    logging.getLogger("fvcore").setLevel(logging.ERROR)  # what it could not count goes into the record instead
    example = torch.zeros(1, *input_shape)
    flops = FlopCountAnalysis(network, example).set_op_handle(
        "aten::scaled_dot_product_attention", count_attention_macs
    )
    flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_operator = flops.by_operator()
    macs = int(sum(by_operator[name] for name in MAC_OPERATORS))
    activations = ActivationCountAnalysis(network, example)
    activations.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return macs, int(activations.total()), {str(k): int(v) for k, v in flops.unsupported_ops().items()}


def count_attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of softmax(Q K') V for Q (.., L, E), K (.., S, E), V (.., S, Ev): L S (E + Ev) per head."""
    from math import prod

    from fvcore.nn.jit_handles import get_shape

    query, key, value = ([int(d) for d in get_shape(x) or ()] for x in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _count_by_dispatch(network: "nn.Module", input_shape: tuple[int, ...]) -> int:
    """On the meta device attention decomposes into products that have formulas; on the CPU it would count as 0."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.to("meta")(torch.zeros(1, *input_shape, device="meta"))
    return counter.get_total_flops() // 2
