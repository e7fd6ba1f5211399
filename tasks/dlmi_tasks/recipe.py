"""Training recipes as data, with the settings of the ways that make a network compact."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dlmi_bench.errors import UsageError
from dlmi_models.arms import Step


@dataclass(frozen=True)
class Distillation:
    """How a network learns the answers of others.

    Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015).

    Attributes:
        teachers: Models whose probabilities are averaged; one twice stands for two trainings of it.
        temperature: By which the scores of teachers and network are divided.
        weight: Of the teachers' answers in the loss; the rest is the labels'.
        n_passes: Distorted versions of the training images that the teachers answer, once for all seeds.
    """

    teachers: tuple[str, ...] = ("cnn-32", "cnn-32", "cnn-32")
    temperature: float = 1.0
    weight: float = 0.9
    n_passes: int = 40


@dataclass(frozen=True)
class Pruning:
    """When the weights of least magnitude are set to zero, as shares of the epochs; in between by a cubic schedule.

    Source: M. Zhu, S. Gupta, "To prune, or not to prune" (2017).
    """

    begin: float = 0.08
    end: float = 0.6


@dataclass(frozen=True)
class FineTuning:
    """Training of a network after it was made compact, once for each way that changes its weights."""

    n_epochs: int = 15
    peak_lr: float = 2e-3


@dataclass(frozen=True)
class Recipe:
    """Training recipe of a model: an optimiser under a one-cycle schedule, with label smoothing.

    Source: L. N. Smith, N. Topin, "Super-convergence" (2019), for the schedule.

    Attributes:
        n_epochs: Passes over the training set.
        peak_lr: Highest learning rate of the schedule.
        weight_decay: Of the optimiser.
        batch_size: Examples of a step.
        label_smoothing: Share of a label that is spread over all classes.
        augmentation: Whether images are distorted, in each epoch in another way; how far is the task's to say.
        is_channels_last: Whether the network lies in memory with channels last, which is quicker for some.
        class_weights: Weights of the classes in the loss; `balanced` weighs each by the inverse of its frequency.
        optimiser: AdamW for all weights, or Muon for matrices between the input and the last layer.
        distillation, pruning, fine_tuning: Of models with arms; None where nothing is done so. See `complete`.
    """

    n_epochs: int
    peak_lr: float = 4e-3
    weight_decay: float = 0.01
    batch_size: int = 128
    label_smoothing: float = 0.05
    augmentation: Literal["none", "random-affine"] = "random-affine"
    is_channels_last: bool = False
    class_weights: "Literal['none', 'balanced'] | tuple[float, ...]" = "none"
    optimiser: Literal["adamw", "muon"] = "adamw"
    distillation: Distillation | None = None
    pruning: Pruning | None = None
    fine_tuning: FineTuning | None = None

    def __post_init__(self) -> None:
        """Check what would train nothing.

        Raises:
            UsageError: a number is not positive.
        """
        for name in ("n_epochs", "batch_size", "peak_lr"):
            if not getattr(self, name) > 0:
                raise UsageError(f"Recipe: {name} is {getattr(self, name)}", "use a positive number")

    def complete(self, steps: tuple[Step, ...]) -> "Recipe":
        """The recipe with usual settings for what these steps need and it does not state, and without other ones."""
        known = {step.kind: step for step in steps}
        distillation = self.distillation or Distillation()
        if teacher := known["distilled"].teacher if "distilled" in known else "":
            distillation = replace(distillation, teachers=(teacher,) * len(distillation.teachers))
        return replace(
            self,
            distillation=distillation if "distilled" in known else None,
            pruning=(self.pruning or Pruning()) if "pruned" in known else None,
            fine_tuning=(self.fine_tuning or FineTuning()) if {"bits", "lowrank"} & known.keys() else None,
        )

    def describe(self) -> dict[str, Any]:
        """The recipe as plain values that JSON can hold, without what it does not use."""
        described = {name: value for name, value in asdict(self).items() if value is not None}
        if self.distillation:
            described["distillation"]["teachers"] = [*self.distillation.teachers]
        if isinstance(self.class_weights, tuple):
            described["class_weights"] = [*self.class_weights]
        return described
