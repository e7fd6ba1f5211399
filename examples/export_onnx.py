"""Plays the part of "elsewhere": trains nets of several widths with plain torch, writes ONNX files and the data."""

from pathlib import Path

import numpy as np
import torch
from synthetic import draw_blobs
from torch import nn

FOLDER = Path("out/onnx")


def train(width: int, seed: int, images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(
        *(nn.Conv2d(1, width, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv2d(width, width, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)),
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(10):
        for batch in torch.randperm(len(images)).split(32):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimiser.step()
    return network.eval()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for draw, (split, n) in enumerate({"train": 900, "test": 600}.items()):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = draw_blobs(n, (24, 24), seed=draw)
    mean, std = arrays["train_images"].mean(), arrays["train_images"].std()
    for split in ("train", "test"):
        arrays[f"{split}_images"] = ((arrays[f"{split}_images"] - mean) / std)[:, None]
    np.savez(FOLDER / "blobs.npz", **arrays)
    images, labels = (torch.from_numpy(arrays[f"train_{what}"]) for what in ("images", "labels"))
    for width, seed in ((2, 0), (4, 0), (8, 0), (8, 1), (16, 0), (32, 0)):
        network = train(width, seed, images, labels)
        torch.onnx.export(
            network,
            (torch.zeros(2, 1, 24, 24),),
            FOLDER / f"width-{width}-seed-{seed}.onnx",
            input_names=["images"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )


if __name__ == "__main__":
    main()
