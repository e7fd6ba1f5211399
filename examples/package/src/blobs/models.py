"""Models of this package."""

from torch import nn


def make_cnn(n_classes: int) -> nn.Module:
    """Make a small CNN."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, n_classes)),
    )
