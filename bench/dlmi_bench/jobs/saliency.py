"""Saliency: the gradient of an answer's score by the image, averaged over noisy copies (SmoothGrad)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

N_COPIES = 25
NOISE_SHARE = 0.1  # standard deviation of the noise in units of the image's range


def compute_saliency(
    network: nn.Module, images: NDArray[np.float32], answers: NDArray[np.integer], *, seed: int = 0
) -> NDArray[np.float32]:
    """Magnitude of the mean gradient of each answer's score, summed over channels.

    A large value says that the score would change if the pixel did; neither that it should, nor that an expert would
    look there.

    Args:
        network: In evaluation mode; (n, channel, height, width) to (n, class).
        images: (n, channel, height, width).
        answers: Class whose score is meant, (n,).
        seed: Of the noise.

    Returns:
        (n, height, width), at least 0.

    Source: D. Smilkov et al., "SmoothGrad: removing noise by adding noise" (2017), section 3; 10-20 % noise.
    """
    generator = torch.Generator().manual_seed(seed)
    network.requires_grad_(False)
    maps = [
        _explain(network, torch.from_numpy(image), int(answer), generator)
        for image, answer in zip(images, answers, strict=True)
    ]
    return torch.stack(maps).numpy() if maps else np.empty((0, *images.shape[2:]), np.float32)


def _explain(network: nn.Module, image: Tensor, answer: int, generator: torch.Generator) -> Tensor:
    """One image (channel, height, width) to its map (height, width)."""
    noise = torch.randn((N_COPIES, *image.shape), generator=generator)
    copies = (image + NOISE_SHARE * (image.max() - image.min()) * noise).requires_grad_()
    (gradient,) = torch.autograd.grad(network(copies)[:, answer].sum(), copies)
    return gradient.mean(0).abs().sum(0)
