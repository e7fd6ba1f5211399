"""Models and data of this study: `dlmi-bench run study.py --report`, then `dlmi-bench claims`."""

import numpy as np
from torch import nn

import dlmi_bench as db

CLASS_NAMES = ("disc", "ring")


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw SYNTHETIC images, (n, 1, 16, 16): a disc or a ring in noise. Put your own data in their place."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    row, column = np.mgrid[:16, :16] - 7.5
    radius = np.hypot(row, column)
    shapes = np.stack([radius < 4, (radius > 3) & (radius < 5)])
    images = shapes[labels] + rng.normal(0, 1, (n, 16, 16))
    return images.astype(np.float32)[:, None], labels


def make_net(n_classes: int) -> nn.Module:
    """Make a new network at each call; it answers images with scores, one for each class."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, n_classes)),
    )


# Also: Task.from_npz("data.npz"), Task.from_folder("images"), Task.from_csv("manifest.csv", image=..., label=...).
# Drop is_synthetic once the data are real.
TASKS = {"shapes": db.Task.from_arrays(*draw(1500), name="shapes", class_names=CLASS_NAMES, is_synthetic=True)}

# A function or class that makes a network, "package.module:factory", or the name of a registered model.
MODELS = {"own-net": make_net, "softmax": "softmax"}

# Small, to be quick. For figures to publish use five seeds or more, and drop n_processes, n_rounds, energy_window_s.
SUITE = db.Suite(n_seeds=3, n_processes=2, n_rounds=30, backends=("onnxruntime",), energy_window_s=1.0)

CLAIMS = "claims.toml"
