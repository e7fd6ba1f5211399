"""Task from examples and options, with data that are read once in each process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError, UsageError
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.own.dataset import MakeStream, OwnDataset, hash_images
from dlmi_tasks.own.examples import Examples
from dlmi_tasks.own.memory import COPIES, check_memory, count_bytes
from dlmi_tasks.own.normalisation import Moments, compute_moments, list_chunks
from dlmi_tasks.own.options import Options
from dlmi_tasks.own.plan import Index, Plan, make_plan
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Images, Target, Task

DEFAULT_RECIPE = Recipe(n_epochs=20, peak_lr=4e-3, augmentation="none")
DEFAULT_MODELS = ("softmax", "mlp-64-32", "cnn-4", "cnn-32")
VOLUME_MODELS = ("softmax", "mlp-64-32")
CONVOLUTIONAL, MIN_SIDE = ("cnn3d-8",), 8  # of volumes, and the smallest side it takes

Make = Callable[[Progress | None], OwnDataset]


@dataclass
class Loader:
    """`load` of a task: makes the data on the first call of a process and keeps them."""

    make: Make = field(repr=False)
    name: str
    _data: OwnDataset | None = field(default=None, repr=False)

    def __call__(
        self, source: str = "auto", data_dir: Path | None = None, on_progress: Progress | None = None
    ) -> OwnDataset:
        """Read, verify and keep the data.

        Raises:
            DataError: an image is unreadable, or is not as its header promised.
            UsageError: a source or folder is named.
        """
        if source != "auto" or data_dir is not None:
            cause = f"{self.name}: its images come from where the task was made"
            raise UsageError(cause, "drop --source and --data-dir, and name files where the task is made")
        sys.audit("dlmi_tasks.load", self.name)
        if self._data is None:
            self._data = self.make(on_progress)
        return self._data

    def forget(self) -> None:
        """Hold the data no longer; the next call makes them again."""
        self._data = None


def make_task(examples: Examples, options: Options) -> Task:
    """Task of these examples, whose images are read into memory when they are needed.

    Raises:
        DataError: labels, groups and splits contradict each other.
        UsageError: an option does not suit them.
    """
    plan = make_plan(examples, options)
    plan.cut()  # so that a class without examples is reported at once
    load = partial(load_examples, plan, options)
    return build_task(options, examples.shape, examples.class_names, plan.n_folds, load)


def build_task(
    options: Options, shape: tuple[int, ...], class_names: tuple[str, ...], n_folds: int, make: Make
) -> Task:
    """Task with these options; `make` makes its data."""
    name, distortion = options["name"], options["distortion"]
    assert name is not None
    return Task(
        name=name,
        title=options["title"] or name,
        default_models=tuple(options["default_models"] or _choose_models(shape)),
        load=Loader(make, name),
        input_shape=shape,
        class_names=class_names,
        n_validation=None,
        target=_make_target(options["target"]),
        time_limit_s=options["time_limit_s"],
        eval_every_epochs=options["eval_every_epochs"],
        distortion=distortion,
        recipes=_make_recipes(options),
        is_ordinal=options["is_ordinal"],
        n_folds=n_folds,
        fit=options["fit"],
    )


def _choose_models(shape: tuple[int, ...]) -> tuple[str, ...]:
    if len(shape) <= 3:
        return DEFAULT_MODELS
    return VOLUME_MODELS + (CONVOLUTIONAL if min(shape[1:]) >= MIN_SIDE else ())


def _make_target(target: float | Target | None) -> Target | None:
    found = Target(float(target)) if isinstance(target, int | float) else target
    if found is not None and not 0 < found.validation_accuracy <= 1:
        raise UsageError(f"target {found.validation_accuracy:g} is no accuracy", "use a fraction, for instance 0.9")
    return found


def _make_recipes(options: Options) -> dict[str, Recipe]:
    """Recipes by model; where the task has no distortion none distorts."""
    default = options["recipe"] or DEFAULT_RECIPE
    if options["recipe"] is None and options["distortion"] is not None:
        default = replace(default, augmentation="random-affine")
    recipes = {"*": default} | options["recipes"]
    if options["distortion"] is None:
        return {model: replace(recipe, augmentation="none") for model, recipe in recipes.items()}
    return recipes


def load_examples(plan: Plan, options: Options, on_progress: Progress | None = None) -> OwnDataset:
    """Read all images into memory, check them, and keep the plan with them.

    Raises:
        DataError: memory is too small, or an image holds what is no number.
    """
    examples = plan.examples
    assert examples.read is not None
    check_memory(examples.where, COPIES * count_bytes(len(examples.labels), examples.shape))
    images = examples.read(on_progress)
    promised = (len(examples.labels), *examples.shape)
    if images.shape != promised:
        cause = f"{examples.where}: images have shape {images.shape}, {promised} was promised"
        raise DataError(cause, "leave the files as they are while the task is in use")
    check_finite(examples.where, images)
    hashes = {"images": hash_images(images), "test_images": hash_images(images[plan.find_tested()])}
    return make_dataset(plan, options, images.__getitem__, compute_moments(images), hashes)


def make_dataset(
    plan: Plan,
    options: Options,
    fetch: Callable[[Index], Images],
    moments: Moments,
    hashes: dict[str, str],
    stream: MakeStream | None = None,
) -> OwnDataset:
    """Dataset of images that have been read; see OwnDataset."""
    return OwnDataset(
        name=str(options["name"]),
        source=plan.examples.source,
        is_synthetic=options["is_synthetic"],
        note=plan.examples.note,
        plan=plan,
        fetch=fetch,
        moments=moments,
        image_hashes=hashes,
        normalisation=options["normalisation"],
        stream=stream,
    )


def check_finite(where: str, images: Images, first: int = 0) -> None:
    """Raises DataError where an image holds NaN or an infinite value; `first` is the number of the first one."""
    for part in list_chunks(len(images), max(1, images[:1].size)):
        flat = images[part].reshape(len(images[part]), -1)
        bad = np.flatnonzero(~np.isfinite(flat).all(1))
        if len(bad):
            row = part.start + int(bad[0])
            cause = f"{where}: images, row {first + row}: holds NaN or an infinite value"
            raise DataError(cause, "replace such values, for instance with np.nan_to_num, or leave the image out")
