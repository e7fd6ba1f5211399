"""Products by torch's FlopCounterMode on the meta device.

There attention decomposes into products that have formulas; on the CPU its fused kernel would count as 0.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from dlmi_bench.instruments.counts.harmless import is_harmless
from dlmi_bench.instruments.counts.meta import OnMeta, list_roots, train
from dlmi_bench.instruments.counts.products import Products, select_uncounted

SOURCE = "FlopCounterMode on meta"


def count_by_dispatch(network: nn.Module, example: Tensor) -> Products:
    """Count `network` in evaluation mode for one example, (1, channel, height, width); it ends on the meta device."""
    network.to("meta").eval()
    # The outer mode sees what the counter has taken apart.
    with torch.device("meta"), OnMeta() as meta, _make_counter() as counter, torch.no_grad():
        network(example.to("meta"))
    return _make_products(counter, meta.calls)


def count_training_by_dispatch(network: nn.Module, example: Tensor) -> Products:
    """Count forward and backward of `network` in training mode for one example; it ends on the meta device.

    Gradients of all trainable parameters are formed, none of the input. The loss and the optimiser are left out.
    Coverage is that of the forward.

    Raises:
        UsageError: no output carries a gradient.
    """
    train(network.to("meta"))
    with torch.device("meta"), OnMeta() as meta, _make_counter() as counter:
        roots = list_roots(network(example.to("meta")))
        forward = list(meta.calls)
        torch.autograd.backward(roots, [torch.ones_like(root) for root in roots])
    return _make_products(counter, forward)


def _make_counter() -> FlopCounterMode:
    """Make torch's counter, with a formula of gradients of convolutions that knows groups."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolve_backward})


def _convolve_backward(
    grad: Sequence[int],
    inputs: Sequence[int],
    weight: Sequence[int],
    _bias: object,
    _stride: object,
    _padding: object,
    _dilation: object,
    transposed: bool,
    _output_padding: object,
    _groups: object,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """Flops of the gradients of input and weights: each has as many products as the convolution itself.

    Weights (out, in / groups, kernel..), transposed (in, out / groups, kernel..).
    """
    batch, _channels, *places = inputs if transposed else grad
    return 2 * batch * prod(places) * prod(weight) * sum(output_mask[:2])


def _make_products(counter: FlopCounterMode, calls: "Sequence[torch._ops.OpOverload]") -> Products:
    """Products that `counter` found, with the `calls` that may need a formula and have none."""
    packets = [call._overloadpacket for call in calls]
    names = [str(packet) for packet in packets if packet not in flop_registry]
    uncounted = select_uncounted(name for name in names if not is_harmless(name.removeprefix("aten.")))
    n_counted = len(packets) - len(names)
    return Products("dispatch", SOURCE, counter.get_total_flops() // 2, n_counted, uncounted)
