"""Architectures by name. Each file knows torch and nothing else of this project; building one imports only its file."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelEntry:
    """A registered architecture: where it is and with which arguments it is built.

    Attributes:
        domain: Tasks that it fits: those of the same domain.
        is_default: Whether suites that name no models take it.
    """

    module: str
    factory: str
    title: str
    arguments: dict[str, int] = field(default_factory=dict)
    domain: str = "digits"
    is_default: bool = True

    def build(self) -> "nn.Module":
        """A freshly initialised network; seed torch first."""
        network: nn.Module = getattr(import_module(self.module), self.factory)(**self.arguments)
        return network


MODELS: dict[str, ModelEntry] = {
    "softmax": ModelEntry("models.softmax", "Softmax", "softmax regression"),
    "mlp-24-16": ModelEntry("models.mlp", "MLP", "two hidden layers, smaller", {"n_hidden1": 24, "n_hidden2": 16}),
    "mlp-64-32": ModelEntry("models.mlp", "MLP", "two hidden layers, the headline", {"n_hidden1": 64, "n_hidden2": 32}),
    "mlp-512-256": ModelEntry("models.mlp", "MLP", "two hidden layers, wide", {"n_hidden1": 512, "n_hidden2": 256}),
    "lecun-1989": ModelEntry("models.lecun1989", "LeCun1989", "the first convolutional net on these digits"),
    "cnn-4": ModelEntry("models.cnn", "CNN", "three convolutions, 4 channels", {"n_channels": 4}),
    "cnn-32": ModelEntry("models.cnn", "CNN", "three convolutions, 32 channels", {"n_channels": 32}),
}
