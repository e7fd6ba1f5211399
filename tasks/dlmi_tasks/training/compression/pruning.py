"""Pruning: of all layers' weights together those of least magnitude are set to zero, more from step to step.

Source: M. Zhu, S. Gupta, "To prune, or not to prune" (2017), for the cubic schedule.
"""

import torch
from torch import Tensor, nn

from dlmi_bench.errors import UsageError
from dlmi_models.arms import Step
from dlmi_tasks.recipe import Pruning

EVERY = 8  # steps between two looks at the magnitudes


def list_weights(network: nn.Module) -> list[Tensor]:
    """Parameters of two or more axes, so without biases and normalisations.

    Raises:
        UsageError: there are none.
    """
    weights: list[Tensor] = [weight for weight in network.parameters() if weight.ndim > 1]
    if not weights:
        raise UsageError(f"{type(network).__name__} has no parameter of two or more axes", "leave the arm out")
    return weights


class Masks:
    """Zeros that stay: after each step of the optimiser, whose momentum would revive them."""

    def __init__(self, weights: list[Tensor]) -> None:
        self._weights = weights
        self._masks = [(weight != 0).float() for weight in weights]

    @torch.no_grad()
    def __call__(self) -> None:
        for weight, mask in zip(self._weights, self._masks, strict=True):
            weight.mul_(mask)

    @torch.no_grad()
    def keep(self, n: int) -> None:
        """Keep the `n` largest of the weights; fewer where fewer are left."""
        sizes = torch.cat([weight.abs().flatten() for weight in self._weights])
        kept = torch.zeros_like(sizes)
        kept[sizes.topk(n).indices] = 1
        parts = kept.split([weight.numel() for weight in self._weights])
        self._masks = [part.view_as(weight) for part, weight in zip(parts, self._weights, strict=True)]


class Pruner:
    """Takes weights away until as many are left as the step says; called after each step of the optimiser."""

    def __init__(self, network: nn.Module, step: Step, schedule: Pruning, n_steps: int) -> None:
        weights = list_weights(network)
        self._masks = Masks(weights)
        self._n_all = sum(weight.numel() for weight in weights)
        wanted = round(step.amount * self._n_all) if step.amount < 1 else int(step.amount)
        self._n_left = min(wanted, self._n_all)
        self._begin, self.end = schedule.begin * n_steps, int(schedule.end * n_steps)
        self._step = 0

    def __call__(self) -> None:
        self._step += 1
        is_over = self._step == self.end
        if is_over or (self._begin < self._step < self.end and self._step % EVERY == 0):
            done = 1.0 if is_over else (self._step - self._begin) / (self.end - self._begin)
            self._masks.keep(self._n_left + int((self._n_all - self._n_left) * (1 - done) ** 3))
        self._masks()
