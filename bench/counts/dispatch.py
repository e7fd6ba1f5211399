"""Multiply-accumulates by torch's FlopCounterMode on the meta device, where nothing is computed and shapes are all.

There attention decomposes into products that have formulas; on the CPU its fused kernel would count as 0.
"""

from typing import TYPE_CHECKING

from bench.counts.products import Products

if TYPE_CHECKING:
    from torch import nn

SOURCE = "FlopCounterMode on meta"
# Batch normalisation in training mode refuses a single value per channel.
TRAINING_BATCH = 2


def count_by_dispatch(network: "nn.Module", input_shape: tuple[int, ...]) -> Products:
    """Count `network`, on the meta device and in evaluation mode, for one example of `input_shape`."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *input_shape))
    return Products("dispatch", SOURCE, counter.get_total_flops() // 2)


def count_training_flops(network: "nn.Module", input_shape: tuple[int, ...]) -> int:
    """Flops of one training step for one example: forward and backward in training mode, both counted, not 3 x.

    Gradients of all trainable parameters are formed, none of the input. The loss and the optimiser are left out.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network.train()(torch.zeros(TRAINING_BATCH, *input_shape)).sum().backward()
    return int(counter.get_total_flops()) // TRAINING_BATCH
