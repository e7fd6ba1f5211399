"""Optimisers of a recipe under its one-cycle schedule.

Muon moves each matrix by its gradient's momentum with all singular values made one; it is for matrices between the
input and the last layer, and AdamW takes the rest. Source: K. Jordan et al., "Muon" (2024), as torch has it.
"""

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from dlmi_tasks.recipe import Recipe


class Optimisers:
    """One or two optimisers that step together."""

    def __init__(self, network: nn.Module, recipe: Recipe, n_steps: int) -> None:
        self._optimisers = _make_optimisers(network, recipe)
        self._schedules = [iter(_list_schedule(o, recipe.peak_lr, n_steps)) for o in self._optimisers]

    def step(self) -> None:
        """Take one step along the gradients, which are cleared."""
        for optimiser, schedule in zip(self._optimisers, self._schedules, strict=True):
            optimiser.param_groups[0].update(next(schedule))
            optimiser.step()
            optimiser.zero_grad()


def _make_optimisers(network: nn.Module, recipe: Recipe) -> list[Optimizer]:
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    *matrices, _ = [name for name, weight in weights.items() if weight.ndim == 2] or [""]
    if recipe.optimiser == "adamw" or not matrices:
        return [_make_adamw(weights.values(), recipe)]
    muon = Muon(
        [weights.pop(name) for name in matrices],
        lr=recipe.peak_lr,
        weight_decay=recipe.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, _make_adamw(weights.values(), recipe)]


def _make_adamw(weights: Iterable[Tensor], recipe: Recipe) -> AdamW:
    return AdamW([*weights], lr=recipe.peak_lr, weight_decay=recipe.weight_decay, fused=True)


def _list_schedule(optimiser: Optimizer, peak_lr: float, n_steps: int) -> list[dict[str, Any]]:
    """Learning rate and momentum of every step of the one-cycle schedule; looked up, a step costs next to nothing."""
    group = optimiser.param_groups[0]
    cycled = [name for name in group if name in ("lr", "betas")]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peak_lr, total_steps=n_steps, cycle_momentum="betas" in cycled
    )
    settings = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the schedule runs ahead of the optimiser on purpose
        for step in range(n_steps):
            settings.append({name: group[name] for name in cycled})
            if step < n_steps - 1:
                schedule.step()
    return settings
