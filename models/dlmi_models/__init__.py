"""Architectures by name. Each file knows torch and nothing else of this project; building one imports only its file."""

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelEntry:
    """A registered architecture: where it is and with which arguments it is built.

    Attributes:
        domain: Tasks that it fits: those of the same domain.
        is_default: Whether suites that name no models take it.
        start: Where the weights come from before training; see tasks/transfer.py.
        is_frozen: Whether only the last layer is trained.
    """

    module: str
    factory: str
    title: str
    arguments: dict[str, int] = field(default_factory=dict)
    domain: Literal["digits", "spect"] = "digits"
    is_default: bool = True
    start: Literal["scratch", "synthetic", "imagenet"] = "scratch"
    is_frozen: bool = False

    def build(self, *, is_frozen: bool | None = None, **arguments: int) -> "nn.Module":
        """A freshly initialised network; seed torch first. What is given here goes before what the entry says."""
        network: nn.Module = getattr(import_module(self.module), self.factory)(**self.arguments | arguments)
        if self.is_frozen if is_frozen is None else is_frozen:
            for name, weight in network.named_parameters():
                weight.requires_grad = name.startswith("out.")
        return network

    def compute_macs(self, input_shape: tuple[int, ...]) -> int | None:
        """Multiply-accumulates of one example by the closed form beside the architecture; None where there is none.

        The form of `models.x:Factory` is the function `compute_macs` of its file, or `compute_factory_macs` where
        the file has several; it takes the shape of an example and the arguments of the factory.
        """
        module = import_module(self.module)
        formula = getattr(module, f"compute_{self.factory}_macs", None) or getattr(module, "compute_macs", None)
        return None if formula is None else int(formula(input_shape, **self.arguments))


def _full_size(factory: str, title: str) -> ModelEntry:
    return ModelEntry("dlmi_models.fullsize", factory, title, domain="spect", is_default=False)


MODELS: dict[str, ModelEntry] = {
    "softmax": ModelEntry("dlmi_models.softmax", "Softmax", "softmax regression"),
    "mlp-24-16": ModelEntry("dlmi_models.mlp", "MLP", "two hidden layers, smaller", {"n_hidden1": 24, "n_hidden2": 16}),
    "mlp-64-32": ModelEntry(
        "dlmi_models.mlp", "MLP", "two hidden layers, the headline", {"n_hidden1": 64, "n_hidden2": 32}
    ),
    "mlp-512-256": ModelEntry(
        "dlmi_models.mlp", "MLP", "two hidden layers, wide", {"n_hidden1": 512, "n_hidden2": 256}
    ),
    "lecun-1989": ModelEntry("dlmi_models.lecun1989", "LeCun1989", "the first convolutional net on these digits"),
    "cnn-4": ModelEntry("dlmi_models.cnn", "CNN", "three convolutions, 4 channels", {"n_channels": 4}),
    "cnn-32": ModelEntry("dlmi_models.cnn", "CNN", "three convolutions, 32 channels", {"n_channels": 32}),
    "vgg16-c": ModelEntry("dlmi_models.vgg", "VGG", "VGG16, compact", {"width": 8}, "spect"),
    "resnet-c": ModelEntry("dlmi_models.resnet", "ResNet", "ResNet-18, compact", {"width": 8}, "spect"),
    "vit-c": ModelEntry(
        "dlmi_models.vit", "ViT", "vision transformer, compact", {"dim": 64, "depth": 4, "n_heads": 4}, "spect"
    ),
    "vgg16-full": _full_size("vgg16", "VGG16"),
    "vgg16-full-small-head": _full_size("vgg16_small_head", "VGG16, convolutions and one linear layer"),
    "resnet18-full": _full_size("resnet18", "ResNet-18"),
    "resnet50-full": _full_size("resnet50", "ResNet-50"),
    "vit-b16-full": _full_size("vit_b16", "ViT-B/16"),
    "efficientnet-lite0": ModelEntry(
        "dlmi_models.efficientnet", "EfficientNetLite", "EfficientNet-Lite0", domain="spect", is_default=False
    ),
}


def _list_arms(name: str, start: Literal["synthetic", "imagenet"], on: str) -> dict[str, ModelEntry]:
    """The same network, pretrained on something else: fine-tuned, and with its trunk left as it came."""
    base = MODELS[name]
    tuned = replace(base, title=f"{base.title}, pretrained on {on}", start=start, is_default=False)
    title = f"{tuned.title}, only its last layer trained"
    return {
        f"{name}+{start}": tuned,
        f"{name}+{start}-frozen": replace(tuned, title=title, is_frozen=True),
    }


for _name in ("vgg16-c", "resnet-c", "vit-c"):
    MODELS |= _list_arms(_name, "synthetic", "other patients")
for _name in [name for name, entry in MODELS.items() if entry.domain == "spect" and "+" not in name]:
    if not _name.endswith("-c"):
        MODELS |= _list_arms(_name, "imagenet", "ImageNet")
