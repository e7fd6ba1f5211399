"""Architectures for slices: counts against hand formulas, published sizes, features and head, any size of image."""

import hashlib
from itertools import pairwise
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn
from torchvision.models import get_model_weights

from dlmi_bench.backends.export import write_onnx
from dlmi_bench.instruments.counts import measure_counts
from dlmi_bench.instruments.counts.dispatch import count_by_dispatch
from dlmi_models import MODELS, fullsize
from dlmi_models.fullsize import FullSize
from dlmi_models.resnet import ResNet
from dlmi_models.vgg import VGG
from dlmi_models.vit import Block, ViT
from dlmi_tasks import get_task

INPUT = (1, 50, 50)
COMPACT = ("vgg16-c", "resnet-c", "vit-c")
FULL_SIZE = ("vgg16-full", "vgg16-full-small-head", "resnet18-full", "resnet50-full", "vit-b16-full")
# Published, with three classes and three channels; the sum over channels leaves a third of the first kernels.
PARAMETERS = {
    "vgg16-full": (134_272_835, 64 * 9),
    "vgg16-full-small-head": (14_714_688 + 512 * 3 + 3, 64 * 9),
    "resnet18-full": (11_178_051, 64 * 49),
    "resnet50-full": (23_514_179, 64 * 49),
    "vit-b16-full": (85_800_963, 768 * 256),
}


def count_vgg(width: int) -> tuple[int, int]:
    """Parameters and MACs of thirteen 3x3 convolutions with normalisation on sides 50, 25, 12, 6, 3, and the head."""
    channels = [1, *(width * factor for factor in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8))]
    sides = (50, 50, 25, 25, 12, 12, 12, 6, 6, 6, 3, 3, 3)
    kernels = [9 * a * b for a, b in pairwise(channels)]
    parameters = sum(kernels) + 2 * sum(channels[1:]) + 8 * width * 3 + 3
    return parameters, sum(k * side**2 for k, side in zip(kernels, sides, strict=True)) + 8 * width * 3


def count_resnet(w: int) -> tuple[int, int]:
    """Parameters and MACs of the stem, four stages on sides 25, 13, 7, 4 and the head; two a channel to normalise."""
    parameters, macs, n_in = 49 * w + 2 * w, 49 * w * 25**2, w
    for n_out, side in ((w, 25), (2 * w, 13), (4 * w, 7), (8 * w, 4)):
        kernels = 9 * n_in * n_out + 3 * 9 * n_out**2
        normalised = 4
        if n_in != n_out:  # the shortcut of the first block
            kernels += n_in * n_out
            normalised += 1
        parameters += kernels + normalised * 2 * n_out
        macs += kernels * side**2
        n_in = n_out
    return parameters + 8 * w * 3 + 3, macs + 8 * w * 3


def count_vit(d: int, depth: int, patch: int, ratio: int) -> tuple[int, int]:
    """Parameters and MACs of embedding, positions, `depth` blocks, norm and head, with n tokens."""
    n = (50 // patch) ** 2
    attention, perceptron = 4 * d * d, 2 * ratio * d * d
    biases = 4 * d + (ratio + 1) * d
    block = attention + perceptron + biases + 2 * 2 * d
    parameters = patch**2 * d + d + n * d + depth * block + 2 * d + 3 * d + 3
    macs = n * patch**2 * d + depth * (n * (attention + perceptron) + 2 * n * n * d) + 3 * d
    return parameters, macs


def count_lite0(side: int) -> tuple[int, int]:
    """Parameters and MACs by block: (in, widened, out, kernel, side before, side after); two a channel to normalise."""
    halves = [side]
    while len(halves) < 6:
        halves.append((halves[-1] + 1) // 2)
    _, a, b, c, d, e = halves
    blocks = [(32, 32, 16, 3, a, a), (16, 96, 24, 3, a, b), (24, 144, 24, 3, b, b), (24, 144, 40, 5, b, c)]
    blocks += [(40, 240, 40, 5, c, c), (40, 240, 80, 3, c, d), *2 * [(80, 480, 80, 3, d, d)], (80, 480, 112, 5, d, d)]
    blocks += [*2 * [(112, 672, 112, 5, d, d)], (112, 672, 192, 5, d, e), *3 * [(192, 1152, 192, 5, e, e)]]
    blocks += [(192, 1152, 320, 3, e, e)]
    parameters, macs = 9 * 32 + 2 * 32 + 320 * 1280 + 2 * 1280 + 3 * 1281, 9 * 32 * a**2 + 320 * 1280 * e**2 + 3 * 1280
    for n_in, n, n_out, kernel, before, after in blocks:
        widen = n_in * n if n > n_in else 0
        parameters += widen + 2 * n * (n > n_in) + kernel**2 * n + 2 * n + n * n_out + 2 * n_out
        macs += widen * before**2 + (kernel**2 * n + n * n_out) * after**2
    return parameters, macs


HAND = {
    "vgg16-c": count_vgg(8),
    "resnet-c": count_resnet(8),
    "vit-c": count_vit(64, 4, 10, 2),
    "efficientnet-lite0": count_lite0(50),
}
# MACs of the first layer, whose input needs no gradient.
FIRST = {
    "vgg16-c": 9 * 8 * 50**2,
    "resnet-c": 49 * 8 * 25**2,
    "vit-c": 25 * 10**2 * 64,
    "efficientnet-lite0": 9 * 32 * 25**2,
}


@pytest.mark.parametrize("name", HAND)
def test_counts_equal_the_hand_formula(name: str) -> None:
    """Parameters, those of the compact nets below a million, and all MAC counts equal a formula written here.

    Training forms the gradients of each product's two factors, at the price of the product.
    """
    entry = MODELS[name]
    counts = measure_counts(entry.build(), INPUT, closed_form=entry.compute_macs(INPUT))
    parameters, macs = HAND[name]
    assert counts.n_parameters == parameters
    assert [(p.counter, p.macs) for p in counts.products] == [(c, macs) for c in ("dispatch", "trace", "closed_form")]
    assert [(p.counter, p.macs) for p in counts.training] == [
        (c, 3 * macs - FIRST[name]) for c in ("dispatch", "autograd")
    ]
    assert [p.uncounted for p in (*counts.products, *counts.training)] == [{}] * 5
    assert counts.n_parameters < 1_000_000 or name not in COMPACT


@pytest.mark.parametrize("name", HAND)
def test_closed_form_holds_for_any_size(name: str) -> None:
    """On a whole slice the formula of the architecture equals the dispatcher's count."""
    counts = measure_counts(MODELS[name].build(), (1, 109, 91), closed_form=MODELS[name].compute_macs((1, 109, 91)))
    assert counts.products[0].macs == counts.products[2].macs


@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_sizes_are_the_published_ones(name: str) -> None:
    """With three channels as published with three classes; with one, less two thirds of the first kernels."""
    entry = MODELS[name]
    published, kernels = PARAMETERS[name]
    with torch.device("meta"):
        three, one = entry.build((3, 50, 50)), entry.build()
    assert sum(p.numel() for p in three.parameters()) == published
    assert sum(p.numel() for p in one.parameters()) == published - 2 * kernels
    assert name not in get_task("spect").default_models


@pytest.mark.parametrize("name", FULL_SIZE)
@pytest.mark.parametrize("shape", [INPUT, (1, 109, 91)])
def test_full_sizes_have_a_closed_form(name: str, shape: tuple[int, ...]) -> None:
    """Crop or whole slice: the formula equals the dispatcher's count."""
    with torch.device("meta"):
        network = MODELS[name].build().eval()
    assert MODELS[name].compute_macs(shape) == count_by_dispatch(network, torch.zeros(1, *shape, device="meta")).macs


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("vgg16", 15_470_264_320),
        ("resnet18", 1_814_073_344),
        ("resnet50", 4_089_184_256),
        ("vit_b_16", 17_563_828_224),
    ],
)
def test_closed_forms_give_the_published_counts(name: str, macs: int) -> None:
    """With the input and classes of ImageNet: 15.470, 1.814, 4.089 and 17.564 GMAC, as torchvision lists them."""
    formula = getattr(fullsize, f"compute_{name.replace('vit_b_16', 'vit_b16')}_macs")
    assert formula((3, 224, 224), n_classes=1000) == macs
    assert round(macs / 1e9, 3) == get_model_weights(name).DEFAULT.meta["_ops"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL_SIZE)
def test_all_counters_agree_on_full_sizes(name: str) -> None:
    """Dispatcher, trace and formula give one number at our input, and nothing goes uncounted."""
    entry = MODELS[name]
    counts = measure_counts(entry.build(), INPUT, closed_form=entry.compute_macs(INPUT))
    assert len({p.macs for p in counts.products}) == 1
    assert [p.uncounted for p in counts.products] == [{}, {}, {}]


# The table of METHOD.md: first stage w; VGG16 with a small head, ResNet-18, ViT of 4 and of 12 blocks.
SIZES = {
    4: (58_119, 44_479, 38_371, 156_643),
    8: (231_147, 176_123, 142_275, 608_195),
    16: (921_939, 700_915, 546_691, 2_396_035),
    32: (3_682_467, 2_796_515, 2_141_955, 9_510_659),
    64: (14_719_299, 11_171_779, 8_478_211, 37_895_683),
    96: (33_110_499, 25_125_795, 19_008_771, 85_155_075),
}


@pytest.mark.parametrize("w", SIZES)
def test_vgg_has_fewer_parameters_than_deep_transformers_only(w: int) -> None:
    """At equal features VGG16 lies above ResNet-18 and a transformer of 4 blocks, below one of 12."""
    with torch.device("meta"):
        families = (
            VGG(INPUT, 3, w),
            ResNet(INPUT, 3, w),
            ViT(INPUT, 3, 8 * w, 4, 4),
            ViT(INPUT, 3, 8 * w, 12, 4, ratio=4),
        )
    vgg, resnet, shallow, deep = sizes = tuple(sum(p.numel() for p in network.parameters()) for network in families)
    assert sizes == SIZES[w]
    assert shallow < resnet < vgg < deep


def test_redefining_the_head_changes_the_order() -> None:
    """As published VGG16 is the largest; with a small head it lies below ResNet-50 and ViT-B/16, above ResNet-18."""
    vgg, small_head, resnet18, resnet50, vit = (PARAMETERS[name][0] for name in FULL_SIZE)
    assert resnet18 < small_head < resnet50 < vit < vgg
    assert vgg - 14_714_688 == 119_558_147


@pytest.mark.parametrize("name", [*HAND, *FULL_SIZE])
@pytest.mark.parametrize("shape", [(1, 50, 50), (1, 109, 91)])
def test_features_feed_the_last_layer(name: str, shape: tuple[int, ...]) -> None:
    """Crop or whole slice: `out` maps `features` to three scores, and a new head changes nothing below it."""
    with torch.device("meta"):
        network = MODELS[name].build().eval()
        images = torch.zeros(2, *shape)
        features = network.features(images)
        assert features.shape == (2, network.out.in_features)
        assert network(images).shape == (2, 3)
        network.out = nn.Linear(network.out.in_features, 4)
        assert network(images).shape == (2, 4)


@pytest.mark.parametrize("name", COMPACT)
def test_an_example_does_not_depend_on_its_neighbours(name: str) -> None:
    """Evaluated alone or in a batch, an image has the same scores, and another image has others."""
    torch.manual_seed(0)
    network = MODELS[name].build()
    images = torch.randn(5, *INPUT)
    with torch.no_grad():
        for _ in range(20):
            network(images)  # settles the running statistics
        network.eval()
        together, alone = network(images), network(images[2:3])
    assert torch.allclose(together[2:3], alone, atol=1e-5)
    assert not torch.allclose(together[2], together[3], atol=1e-3)


@pytest.mark.parametrize("name", ["vgg16-full-small-head", "resnet18-full"])
def test_one_channel_sees_what_three_equal_ones_would(name: str) -> None:
    """A grey image gives the scores that the same weights give it in three equal channels."""
    image = torch.randn(1, *INPUT, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    three = MODELS[name].build((3, 50, 50)).eval()
    torch.manual_seed(0)
    one = MODELS[name].build().eval()
    with torch.inference_mode():
        scores = one(image)
        assert torch.allclose(scores, three(image.expand(1, 3, 50, 50)), atol=1e-5 * float(scores.abs().max()))


def test_attention_is_the_published_one() -> None:
    """With the same weights the tokens leave as torch's own multi-head attention has them."""
    torch.manual_seed(0)
    block, peer = Block(8, 2, 2), nn.MultiheadAttention(8, 2, batch_first=True)
    peer.load_state_dict(
        {
            "in_proj_weight": block.qkv.weight,
            "in_proj_bias": block.qkv.bias,
            "out_proj.weight": block.project.weight,
            "out_proj.bias": block.project.bias,
        }
    )
    x = torch.randn(3, 5, 8)
    assert torch.allclose(block.attend(x), peer(x, x, x, need_weights=False)[0], atol=1e-6)


def test_vit_b16_enlarges_its_input() -> None:
    """The trunk reads 224x224 pixels, whatever comes in."""
    seen = []
    with torch.device("meta"):
        network = MODELS["vit-b16-full"].build()
        assert isinstance(network, FullSize)
        network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
        network(torch.zeros(1, *INPUT))
    assert seen == [(1, 1, 224, 224)]


@pytest.mark.parametrize("name", [*(pytest.param(name, marks=pytest.mark.slow) for name in COMPACT[:2]), "vit-c"])
def test_export_keeps_scores_and_bytes(name: str, tmp_path: Path) -> None:
    """The ONNX file has the network's scores at any batch size, and a second export has the same bytes."""
    torch.manual_seed(0)
    network = MODELS[name].build()
    images = torch.randn(7, *INPUT)
    with torch.no_grad():
        for _ in range(20):
            network(images)
        expected = network.eval()(images)
    hashes = set()
    for path in (tmp_path / "a.onnx", tmp_path / "b.onnx"):
        write_onnx(network, INPUT, path)
        hashes.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(hashes) == 1
    session = onnxruntime.InferenceSession(path)
    for n in (1, 7):
        (scores,) = session.run(None, {"input": images[:n].numpy()})
        assert torch.allclose(torch.from_numpy(scores), expected[:n], atol=1e-4)
