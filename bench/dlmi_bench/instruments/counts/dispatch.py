"""Multiply-accumulates by torch's FlopCounterMode on the meta device, where nothing is computed and shapes are all.

There attention decomposes into products that have formulas; on the CPU its fused kernel would count as 0.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlmi_bench.instruments.counts.products import Products, select_uncounted

if TYPE_CHECKING:
    import torch
    from torch import nn

SOURCE = "FlopCounterMode on meta"
# Batch normalisation in training mode refuses a single value per channel.
TRAINING_BATCH = 2
# Without a product of two tensors that is summed over, and neither elementwise nor a view by torch's own tags.
FREE = frozenset(
    f"aten.{name}"
    for name in (
        "_adaptive_avg_pool2d _adaptive_avg_pool3d _log_softmax _native_batch_norm_legit "
        "_native_batch_norm_legit_no_training _safe_softmax _softmax _to_copy _unsafe_view adaptive_max_pool2d amax "
        "amin any arange argmax argmin as_strided_ avg_pool2d avg_pool3d bernoulli cat clone constant_pad_nd copy_ "
        "cumsum embedding empty empty_like full full_like gather index index_select linalg_vector_norm lift_fresh max "
        "max_pool2d_with_indices max_pool3d_with_indices mean min native_batch_norm native_dropout native_group_norm "
        "native_layer_norm new_empty new_full new_zeros ones ones_like pixel_shuffle prod reflection_pad2d repeat "
        "replication_pad2d roll scalar_tensor scatter scatter_add select_scatter slice_scatter sort split_with_sizes "
        "stack std std_mean sum topk tril triu unsafe_split upsample_bicubic2d upsample_bilinear2d upsample_nearest2d "
        "upsample_trilinear3d upsample_nearest3d var var_mean zeros zeros_like"
    ).split()
)


def count_by_dispatch(network: "nn.Module", example: "torch.Tensor") -> Products:
    """Count `network`, in evaluation mode, for one example, (1, channel, height, width), both on the meta device."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    calls: list[torch._ops.OpOverload] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.append(func)
            return func(*args, **(kwargs or {}))

    # The outer mode sees what the counter has taken apart.
    with torch.device("meta"), Watch(), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(example)
    n_counted, uncounted = _sort(calls)
    return Products("dispatch", SOURCE, counter.get_total_flops() // 2, n_counted, uncounted)


def _sort(calls: "Sequence[torch._ops.OpOverload]") -> tuple[int, dict[str, int]]:
    """Number of calls that have a formula, and the names of those that may need one."""
    from torch import Tag
    from torch.utils.flop_counter import flop_registry

    rest = [call for call in calls if call._overloadpacket not in flop_registry]
    names = [str(call._overloadpacket) for call in rest if Tag.pointwise not in call.tags and not call.is_view]
    return len(calls) - len(rest), select_uncounted(names, FREE)


def count_training_flops(network: "nn.Module", example: "torch.Tensor") -> int:
    """Flops of one training step for one example: forward and backward in training mode, both counted, not 3 x.

    Gradients of all trainable parameters are formed, none of the input. The loss and the optimiser are left out.
    """
    import torch
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        outputs = tree_leaves(network.train()(torch.cat([example] * TRAINING_BATCH)))
        losses = [output.sum() for output in outputs if isinstance(output, torch.Tensor) and output.requires_grad]
        torch.autograd.backward(losses)
    return int(counter.get_total_flops()) // TRAINING_BATCH
