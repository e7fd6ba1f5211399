"""Learners whose curves are written beforehand, through the training loop on a clock that is told."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from dlmi_bench.selftest.fakes import FakeClock
from dlmi_tasks import get_task
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Arrays, HeldOut, Splits
from dlmi_tasks.training.loop import TrainingRun, train

EPOCH_S, EVALUATION_S = 2.0, 0.5
N_EXAMPLES = 20  # one batch


class Scripted(nn.Module):
    """Answers right on a scripted share of the validation set, whatever it was taught; NaN where that is no number."""

    def __init__(self, shares: Sequence[float], clock: FakeClock) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.shares, self.clock, self.epoch = shares, clock, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.clock.work(round(1e9 * EPOCH_S))
            return torch.zeros(len(x), 2) * self.weight
        self.clock.work(round(1e9 * EVALUATION_S))
        share = self.shares[self.epoch]
        self.epoch += 1
        if np.isnan(share):
            return torch.full((len(x), 2), torch.nan)
        right = torch.arange(len(x)) < round(share * len(x))
        return torch.stack([right.float(), (~right).float()], 1)

    def __deepcopy__(self, _: dict[int, object]) -> nn.Module:
        """The copy that warms up; it may not use up the script."""
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))


def run_script(shares: Sequence[float], clock: FakeClock | None = None, *, time_limit_s: float = 1e9) -> TrainingRun:
    """Train a scripted learner for as many epochs as there are shares, towards the target of the digits."""
    clock = clock or FakeClock()
    images, labels = np.zeros((N_EXAMPLES, 1, 4, 4), np.float32), np.zeros(N_EXAMPLES, np.int64)
    arrays = Arrays(images, labels)
    task = replace(get_task("usps"), time_limit_s=time_limit_s)
    recipe = Recipe(n_epochs=len(shares), augmentation="none")
    splits = Splits(arrays, arrays, HeldOut(arrays))
    return train(lambda: Scripted(shares, clock), splits, task, recipe, seed=0, clock=clock)
