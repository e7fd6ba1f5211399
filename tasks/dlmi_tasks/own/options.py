"""Options that every way to make a task of your own takes."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from numpy.typing import ArrayLike

from dlmi_bench.errors import UsageError
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Distortion, Target

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class CommonOptions(TypedDict, total=False):
    """Options of Task.from_arrays, from_npz, from_folder, from_csv and from_datasets.

    Attributes:
        name: Name of the task; else that of the file or folder, without suffix.
        title: Words for the report; else the name.
        class_names: Names in the order of the labels; else folder names, words of the manifest, or 0, 1, 2 ...
        is_ordinal: Whether the classes have an order.
        is_synthetic: Whether the images are made, not taken.
        target: Validation accuracy to reach, a fraction; None measures no time to a target.
        normalisation: `standard` (mean 0, standard deviation 1), `minmax` (0 to 1) or `none`; per channel, computed
            on the training split alone, in each fold.
        recipe: Recipe of all models that `recipes` does not name.
        recipes: Recipes by model.
        distortion: Distortions that leave the class as it is; None never distorts, since no flip or rotation is
            assumed to be harmless.
        fit: Trains in place of the recipe; see Task.
        time_limit_s: Longest training [s].
        eval_every_epochs: Epochs between two looks at the validation split.
        default_models: Models that suites take where they name none.
        groups: Whose each image is, for instance the patient, (n,); a function of the path for folders. No group is
            on two sides of a split.
        sites: Where each image was taken, (n,).
        n_folds: Folds of a cross-validation; each training of a seed tests on another one.
        held_out_sites: Whether each training tests on one site and learns from all others.
        test_share: Share of the images to test on, where there is neither `split` nor folds.
        validation_share: Share of the other images to validate on.
        n_dims: 2 for images, 3 for volumes; needed for arrays without a channel axis, where 2 is assumed.
        channels_last: Whether arrays hold channels in their last axis; None refuses arrays that look so.
    """

    name: str | None
    title: str | None
    class_names: Sequence[str] | None
    is_ordinal: bool
    is_synthetic: bool
    target: float | Target | None
    normalisation: Literal["standard", "minmax", "none"]
    recipe: Recipe | None
    recipes: dict[str, Recipe]
    distortion: Distortion | None
    fit: Callable[..., Any] | None
    time_limit_s: float
    eval_every_epochs: int
    default_models: Sequence[str] | None
    groups: ArrayLike | Callable[[Path], str] | None
    sites: ArrayLike | Callable[[Path], str] | None
    n_folds: int | None
    held_out_sites: bool
    test_share: float
    validation_share: float
    n_dims: Literal[2, 3] | None
    channels_last: bool | None


class Options(CommonOptions, total=False):
    """Options where splits are no column of a table.

    Attributes:
        split: `train`, `validation` or `test` for each image, (n,); without `validation` a part of `train` is cut.
    """

    split: ArrayLike | None


DEFAULTS: Options = {
    "name": None,
    "title": None,
    "class_names": None,
    "is_ordinal": False,
    "is_synthetic": False,
    "target": None,
    "normalisation": "standard",
    "recipe": None,
    "recipes": {},
    "distortion": None,
    "fit": None,
    "time_limit_s": 1800.0,
    "eval_every_epochs": 1,
    "default_models": None,
    "groups": None,
    "sites": None,
    "split": None,
    "n_folds": None,
    "held_out_sites": False,
    "test_share": 0.2,
    "validation_share": 0.2,
    "n_dims": None,
    "channels_last": None,
}


# What options must be where they are stated, and what to write.
TYPES: tuple[tuple[str, Any, str], ...] = (
    ("recipe", Recipe, "write Recipe(n_epochs=20)"),
    ("recipes", dict, 'write {"MODEL": Recipe(n_epochs=20)}'),
    (
        "distortion",
        Distortion,
        "write Distortion(0.1, scale=0.1, shear=0.0, shift_pixels=1.0, background=0.0)",
    ),
    ("fit", Callable, "hand over a function fit(network, splits, seed, report)"),
    ("target", int | float | Target, "use a fraction, for instance 0.9"),
    ("n_folds", int, "use a whole number, for instance 5"),
    ("default_models", list | tuple, 'write ["softmax"]'),
)


def complete(options: CommonOptions, name: str | None = None) -> Options:
    """All options, defaults filled in; `name` is taken where none is stated.

    Raises:
        UsageError: an option is unknown, or its value is.
    """
    unknown = sorted(set(options) - set(DEFAULTS))
    if unknown:
        raise UsageError(f"option {unknown[0]!r} does not exist", f"the options are {', '.join(DEFAULTS)}")
    full: Options = {**DEFAULTS, **options}
    full["name"] = check_name(full["name"] or name)
    _check_choice("normalisation", full["normalisation"], ("standard", "minmax", "none"))
    _check_choice("n_dims", full["n_dims"], (None, 2, 3))
    for key, kinds, remedy in TYPES:
        if full[key] is not None and not isinstance(full[key], kinds):  # type: ignore[literal-required]
            raise UsageError(f"{key} is {full[key]!r}", remedy)  # type: ignore[literal-required]
    for share in ("test_share", "validation_share"):
        _check_share(share, full[share])
    if sum((full["split"] is not None, full["n_folds"] is not None, full["held_out_sites"])) > 1:
        raise UsageError("split, n_folds and held_out_sites exclude each other", "state one of them")
    if full["n_folds"] is not None and full["n_folds"] < 2:
        raise UsageError(f"n_folds is {full['n_folds']}", "use 2 or more, or drop it for one split")
    if full["held_out_sites"] and full["sites"] is None:
        raise UsageError("held_out_sites needs to know the sites", "state sites=, one for each image")
    return full


def add_split(options: Options, where: str, split: ArrayLike) -> Options:
    """Options with the split that the data bring.

    Raises:
        UsageError: the options ask for another one.
    """
    if options["split"] is not None or options["n_folds"] is not None or options["held_out_sites"]:
        remedy = "drop split, n_folds and held_out_sites, or hand over the images without splits"
        raise UsageError(f"{where}: brings its own splits", remedy)
    return {**options, "split": split}


def check_name(name: str | None) -> str:
    if name is None or not NAME.fullmatch(name):
        raise UsageError(f"name {name!r} cannot name a task", "state name=: letters, digits, '.', '_' and '-'")
    return name


def _check_choice(option: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{option} is {value!r}", f"use one of {', '.join(map(repr, allowed))}")


def _check_share(option: str, value: float) -> None:
    if not 0 < value < 1:
        raise UsageError(f"{option} is {value!r}", "use a fraction between 0 and 1, for instance 0.2")
