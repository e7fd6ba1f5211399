"""Operators of torch without a product of two tensors that is summed over, so that no counter needs a formula for them.

Torch's own tags name what is elementwise or a view; the list has the rest: pooling, normalisation, moving of data.
"""

from functools import cache

import torch

HARMLESS = frozenset(
    (
        # pooling and resampling
        "_adaptive_avg_pool2d _adaptive_avg_pool3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa "
        "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d adaptive_avg_pool1d "
        "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d "
        "avg_pool1d avg_pool2d avg_pool3d fractional_max_pool2d fractional_max_pool3d grid_sampler grid_sampler_2d "
        "grid_sampler_3d max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d "
        "max_pool3d_with_indices max_unpool2d max_unpool3d upsample_bicubic2d upsample_bilinear2d upsample_linear1d "
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d "
        # normalisation, activation, dropout
        "_fused_rms_norm _log_softmax _native_batch_norm_legit _native_batch_norm_legit_no_training _prelu_kernel "
        "_safe_softmax _softmax _weight_norm _weight_norm_interface alpha_dropout batch_norm bernoulli dropout "
        "feature_alpha_dropout feature_dropout floor_divide glu group_norm hardswish instance_norm layer_norm "
        "linalg_vector_norm log_sigmoid log_sigmoid_forward log_softmax native_batch_norm native_dropout "
        "native_group_norm native_layer_norm norm norm_except_dim prelu rms_norm rrelu_with_noise softmax "
        # sums, extremes, order
        "_cummax_helper _cummin_helper all amax amin aminmax any argmax argmin argsort count_nonzero cummax cummin "
        "cumprod cumsum kthvalue logcumsumexp logsumexp max mean median min msort nanmean nansum prod sort std "
        "std_mean sum topk var var_mean "
        # making and moving of data
        "__or__ _embedding_bag _embedding_bag_forward_only _index_put_impl _local_scalar_dense _reshape_from_tensor "
        "_shape_as_tensor _to_copy _unsafe_index _unsafe_index_put _unsafe_view arange block_diag broadcast_tensors "
        "bucketize cat channel_shuffle clone col2im column_stack complex concat constant_pad_nd copy diag "
        "diag_embed diagflat diff dstack embedding embedding_bag empty empty_like empty_permuted empty_strided eye "
        "fill fill_diagonal flip fliplr flipud full full_like gather hstack im2col index index_add index_copy "
        "index_fill index_put index_select isclose item lift lift_fresh linspace masked_scatter masked_select "
        "meshgrid native_channel_shuffle new_empty new_empty_strided new_full new_ones new_zeros nonzero normal "
        "numel one_hot ones ones_like pad pixel_shuffle pixel_unshuffle rand rand_like randint randn randn_like "
        "random randperm reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave "
        "replication_pad1d replication_pad2d replication_pad3d resize roll rot90 scalar_tensor scatter scatter_add "
        "scatter_reduce select_scatter slice_scatter split_with_sizes stack take take_along_dim tile tril "
        "tril_indices triu triu_indices type_as uniform unsafe_chunk unsafe_split unsafe_split_with_sizes vstack "
        "zero zeros zeros_like"
    ).split()
)


@cache
def is_harmless(name: str) -> bool:
    """Tell whether an operator of torch multiplies no two tensors to sum over, by its name without `aten`.

    In place (`add_`) an operator is what it is otherwise.
    """
    names = {name, name.removesuffix("_")}
    packets = [getattr(torch.ops.aten, each) for each in names if hasattr(torch.ops.aten, each)]
    calls = [getattr(packet, overload) for packet in packets for overload in packet.overloads()]
    return not names.isdisjoint(HARMLESS) or any(torch.Tag.pointwise in call.tags or call.is_view for call in calls)
