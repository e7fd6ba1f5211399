"""Training by a function of the user's: `fit(network, splits, seed, report)`.

The function trains the network in place, on `splits.train` and, where it likes, by looking at `splits.validation`. It
calls `report()` after each pass: the clock stands still meanwhile, and the validation accuracy comes back. The clock,
the meter, the seed and the one look at the test split stay with the suite.
"""

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.clock import Clock, Stopwatch
from dlmi_tasks.spec import Arrays, Splits, Stream, Task
from dlmi_tasks.training.loop import Evaluation, TrainingRun, evaluate, find_hit, set_seed

REMEDY = "train the network that fit is given, in place, on splits.train"


@dataclass(frozen=True)
class OpenSplits:
    """The splits that a fit may look at."""

    train: Arrays | Stream
    validation: Arrays

    @property
    def test(self) -> NoReturn:
        """Refuse: the test split is read once, after the training.

        Raises:
            UsageError: always.
        """
        raise UsageError("fit reads splits.test", "choose by splits.validation; the suite reads the test split once")


class TimeUpError(Exception):
    """The time limit of the task is over; ends the user's function at its next report."""


class Report:
    """Called by the user's function after each pass over the training data."""

    def __init__(
        self, network: nn.Module, splits: OpenSplits, task: Task, training: Stopwatch, evaluating: Stopwatch
    ) -> None:
        self._network, self._splits, self._task = network, splits, task
        self._training, self._evaluating = training, evaluating
        self.curve: list[Evaluation] = []
        self.n_samples: int | None = None

    def __call__(self, *, train_loss: float | None = None, n_samples: int | None = None) -> float:
        """Note the state of the training; the clock stands still.

        Args:
            train_loss: Mean loss of this pass, for the plot.
            n_samples: Examples seen so far; the report has no figure of them without it.

        Returns:
            Accuracy on the validation split.

        Raises:
            TimeUpError: the task's time limit is over; let it pass.
        """
        self._training.__exit__()
        accuracy = self._evaluate(train_loss)
        self.n_samples = n_samples
        is_over = self._training.total_s > self._task.time_limit_s
        self._training.__enter__()
        if is_over:
            raise TimeUpError
        return accuracy

    def _evaluate(self, train_loss: float | None) -> float:
        is_training = self._network.training
        with self._evaluating:
            accuracy, loss = evaluate(self._network, self._splits.validation)
        self._network.train(is_training)
        self.curve.append(Evaluation(len(self.curve) + 1, self._training.total_s, train_loss, accuracy, loss))
        return accuracy

    def finish(self) -> None:
        """Evaluate what the function left, unless its last report saw the same weights."""
        with self._evaluating:
            accuracy, loss = evaluate(self._network, self._splits.validation)
        last = self.curve[-1] if self.curve else None
        if last and (last.validation_accuracy, last.validation_loss) == (accuracy, loss):
            return
        self.curve.append(Evaluation(len(self.curve) + 1, self._training.total_s, None, accuracy, loss))


def train_own(
    build: Callable[[], nn.Module],
    splits: Splits | OpenSplits,
    task: Task,
    fit: Callable[..., Any],
    *,
    seed: int,
    clock: Clock | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    """Train by the user's function.

    Args:
        build, splits, seed, clock, on_epoch: See `loop.train`.
        fit: Takes network, splits without the test split, seed, and a Report.

    Raises:
        UsageError: the function raised, returned another network, read the test split or changed no weight.
    """
    _check_arguments(fit)
    set_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what the user's code draws from
    network = build()
    before = copy.deepcopy(network.state_dict())
    training, evaluating = Stopwatch(clock), Stopwatch(clock)
    seen = OpenSplits(splits.train, splits.validation)
    report = Report(network, seen, task, training, evaluating)
    if on_epoch:
        on_epoch(0, 1)
    is_timed_out, returned = False, None
    with training:
        try:
            returned = fit(network, seen, seed, report)
        except TimeUpError:
            is_timed_out = True
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(_describe(error), "correct fit; it takes network, splits, seed and report") from error
    _check(network, before, returned)
    report.finish()
    return _make_run(network, report, task, training.total_s, evaluating.total_s, is_timed_out=is_timed_out)


def describe_function(function: Callable[..., Any]) -> str:
    """Name of the function with the module that holds it."""
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"


def _check_arguments(fit: Callable[..., Any]) -> None:
    try:
        signature(fit).bind(None, None, 0, None)
    except TypeError as error:
        cause = f"{describe_function(fit)} cannot be called with four arguments: {error}"
        raise UsageError(cause, "write it as fit(network, splits, seed, report)") from error


def _describe(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}: " if trace else ""
    return f"fit failed: {where}{type(error).__name__}: {error}"


def _check(network: nn.Module, before: Mapping[str, Tensor], returned: object) -> None:
    if returned is not None and returned is not network:
        raise UsageError(f"fit returned another {type(returned).__name__} than the network it was given", REMEDY)
    after = network.state_dict()
    if after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before):
        raise UsageError("fit changed no weight: it trained on nothing", REMEDY)


def _make_run(
    network: nn.Module, report: Report, task: Task, training_s: float, evaluation_s: float, *, is_timed_out: bool
) -> TrainingRun:
    hit = find_hit(report.curve, task.target)
    return TrainingRun(
        network=network.eval(),
        curve=tuple(report.curve),
        training_s=training_s,
        evaluation_s=evaluation_s,
        n_epochs=len(report.curve),
        n_samples=report.n_samples,
        time_to_target_s=hit.training_s if hit else None,
        epochs_to_target=hit.epoch if hit else None,
        samples_to_target=None,
        is_timed_out=is_timed_out,
    )
