"""Fields and figures of claims about an arm and its control, over the same seeds."""

from typing import Any, Literal, Self

from pydantic import model_validator

from dlmi_reports.claims.comparisons import Comparison, say, show_log, show_points
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.fluctuation import NAME, pair_fluctuations
from dlmi_reports.claims.predicate import Accuracy, OnTask
from dlmi_reports.claims.ratios import TIMED, estimate_ratio, pair_seeds_by_kind

LOSS: Literal["validation_loss"] = "validation_loss"
ToTarget = Literal["time_to_target_s", "epochs_to_target"]
Snr = Literal["image_snr", "pooled_snr"]
Effect = Literal["mean", "stability", "ratio"]


class Arms(OnTask):
    """An arm compared with its control, over the same seeds.

    `effect` is a difference of means; the stability, which is the control's fluctuation of the validation loss over the
    arm's; or a ratio, of the control's time or epochs to target over the arm's, or of the arm's signal-to-noise ratio
    over the control's.
    """

    control_model: str = ""
    control_task: str = ""
    metric: Literal[Accuracy, ToTarget, Snr, "validation_loss"] = "test_accuracy"
    effect: Effect = "mean"

    @model_validator(mode="before")
    @classmethod
    def _choose_metric(cls, fields: Any) -> Any:
        """Name the one metric that stability has."""
        is_stability = isinstance(fields, dict) and fields.get("effect") == "stability"
        return {"metric": LOSS} | fields if is_stability else fields

    @model_validator(mode="after")
    def _check_arms(self) -> Self:
        if not self.control_model and not self.control_task:
            raise ValueError("give control_model, control_task or both")
        is_ratio = self.metric.endswith(("_to_target_s", "_to_target", "_snr"))
        fitting = "ratio" if is_ratio else "stability" if self.metric == LOSS else "mean"
        if self.effect != fitting:
            raise ValueError(f"effect {self.effect} does not fit metric {self.metric}")
        return self

    @property
    def control(self) -> tuple[str, str]:
        """Model and task of the control."""
        return self.control_model or self.model, self.control_task or self.task

    @property
    def difference(self) -> tuple[str, ...]:
        return (self.metric, self.task, self.model, *self.control)

    def compare(self, evidence: Evidence) -> list[Comparison]:
        """Compare accuracies, curves or efforts; the threshold is 0, and what is wanted is left to the kind.

        Times are compared once for each kind of machine that both were trained on.
        """
        names = f"{self.model} on {self.task}", " on ".join(self.control)
        difference, quotient = " minus ".join(names), " over ".join(reversed(names))
        if self.effect == "mean":
            own, its = evidence.read_table(self, self.metric), evidence.read_table(self, self.metric, *self.control)
            return [Comparison(f"{say(self.metric)}, {difference}", own.subtract(its), 0.0, show_points, "")]
        sides = evidence.find_model(self), evidence.find_model(self, *self.control)
        is_stability = self.effect == "stability"
        pairs = {"": pair_fluctuations(*sides)} if is_stability else pair_seeds_by_kind(*sides, self.metric)
        label = f"{NAME if is_stability else say(self.metric)}, {quotient}"
        what = TIMED if self.metric.endswith("_s") else "seeds"
        return [
            Comparison(label, estimate_ratio(values, what), 0.0, show_log, "", kind=evidence.name_kind(kind))
            for kind, values in pairs.items()
        ]
