"""Stages of a training: the recipe's own, then one for each way that changes the weights of a trained network."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from dlmi_models.arms import FOLDED, Step
from dlmi_models.reshaping import reshape
from dlmi_tasks.recipe import Pruning, Recipe
from dlmi_tasks.training.compression.bits import attach, bake
from dlmi_tasks.training.compression.pruning import Masks, Pruner, list_weights

Constraint = Callable[[], object]  # called after each step of the optimiser


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        recipe: With the epochs and the learning rate of this part.
        before: What makes the network compact before it.
        pruned: Weights to keep, where they are taken away in this part.
        bits: Bits of a weight, where weights are rounded from here on.
        has_zeros: Whether weights that are zero stay so.
    """

    recipe: Recipe
    before: tuple[Step, ...] = ()
    pruned: Step | None = None
    bits: Step | None = None
    has_zeros: bool = False

    def begin(self, network: nn.Module, n_steps: int) -> Constraint | None:
        """Change the network, in place; what is returned keeps it so."""
        reshape(network, self.before)
        if self.bits:
            weights = list_weights(network)  # the numbers that the optimiser moves, behind those that are rounded
            attach(network, self.bits.n_largest)
            return Masks(weights) if self.has_zeros else None
        return Pruner(network, self.pruned, self.schedule, n_steps) if self.pruned else None

    @property
    def schedule(self) -> Pruning:
        """When weights are taken away."""
        return self.recipe.pruning or Pruning()

    def find_first_final(self, n_epochs_before: int) -> int:
        """First epoch after which the network is as compact as it will be at the end of this part."""
        return n_epochs_before + (int(self.schedule.end * self.recipe.n_epochs) + 1 if self.pruned else 1)


def list_stages(recipe: Recipe, steps: tuple[Step, ...]) -> list[Stage]:
    """List the stages of a recipe for a network with these ways."""
    known = {step.kind: step for step in steps}
    tuned = replace(recipe, **asdict(recipe.fine_tuning)) if recipe.fine_tuning else recipe
    pruned, bits, rank = known.get("pruned"), known.get("bits"), known.get("lowrank")
    stages = [Stage(recipe, pruned=None if rank else pruned)]
    if rank:
        stages.append(Stage(tuned, before=(rank,), pruned=pruned))
    if bits:
        stages.append(Stage(tuned, before=(FOLDED,), bits=bits, has_zeros=bool(pruned)))
    return stages


def finish(network: nn.Module, steps: tuple[Step, ...]) -> None:
    """Leave the network, in place, with the modules and the numbers that its files have."""
    if any(step.kind == "bits" for step in steps):
        bake(network)
    elif FOLDED in steps:
        reshape(network, (FOLDED,))
    if {"pruned", "bits"} & {step.kind for step in steps}:
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.0)  # masks and rounding leave negative zeros, for which files have bits of their own
