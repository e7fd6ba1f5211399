"""Parkinson staging from DaT-SPECT slices as a task, with its other ways of preprocessing as arms.

The recipes were chosen by validation accuracy, never by test accuracy: those of compact nets by a search, whose ledger
holds them (DECISIONS.md).
"""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

from dlmi_bench.records import ARM
from dlmi_tasks import SLICES, SPECT_ARMS, STACKS
from dlmi_tasks.files import folders
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.ledger import load_recipes
from dlmi_tasks.own.options import check_name
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Distortion, Target, Task
from dlmi_tasks.spect.anatomy.grid import CROP
from dlmi_tasks.spect.cohort.pool import load_pool
from dlmi_tasks.spect.data import SIZES, SpectDataset
from dlmi_tasks.spect.inspection import inspect, load_spect
from dlmi_tasks.spect.ppmi.grouping import COURSE
from dlmi_tasks.spect.ppmi.options import Options, find_options
from dlmi_tasks.spect.ppmi.question import find_question
from dlmi_tasks.spect.preprocess import Preprocessing
from dlmi_tasks.spect.references import COURSE_BASELINE, describe_references

TARGET = Target(
    validation_accuracy=0.65,
    test_accuracy_published=COURSE_BASELINE,
    source="course assignment: above a 25 % baseline, which lies below chance",
)
# The worse hemisphere is a matter of chance, so a mirrored patient is a patient.
DISTORTION = Distortion(math.radians(8), scale=0.08, shear=0.05, shift_pixels=2.0, background=None, is_mirrored=True)
COMPACT = Recipe(
    n_epochs=30, peak_lr=4e-3, weight_decay=0.05, batch_size=32, label_smoothing=0.1, is_channels_last=True
)
N_PICTURED = 2  # of each class, right ones and as many wrong ones
SMALL = (60, 30, 60)  # patients that suffice to see everything work; their scans take seconds, not minutes
RECIPES = load_recipes("spect/frontier.json") | {
    "*": replace(COMPACT, n_epochs=40, peak_lr=1e-4),  # for the full-size nets; not tuned
    "vgg16-c": COMPACT,
    "resnet-c": replace(COMPACT, peak_lr=1e-2),
    "vit-c": replace(COMPACT, n_epochs=60, is_channels_last=False),
    "cnn3d-8": COMPACT,
    "efficientnet-lite0": COMPACT,
    "efficientnet-lite0+imagenet": replace(COMPACT, peak_lr=1e-3),
    "efficientnet-lite0+imagenet-frozen": replace(COMPACT, peak_lr=1e-2),
}
VOLUME_MODELS = ("softmax", "mlp-64-32", "cnn3d-8")
SLICE_TITLES = {
    "single": "one slice",
    "hottest": "the slices with most uptake",
    "channels": "14 slices as channels",
    "volume": "14 slices as a volume",
}


def load(
    preset: str,
    preprocessing: Preprocessing,
    sizes: tuple[int, int, int],
    folder: Path | None = None,
    options: Options | None = None,
    *,
    source: str = "auto",
    data_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> SpectDataset:
    """Scans in a folder where one is named, here or in the environment; else the synthetic cohort.

    Raises:
        DataError, FetchError: see load_spect.
    """
    folder = data_dir or folder or folders.find_folder(folders.PPMI)
    return load_spect(
        preset,
        data_dir=folder,
        options=options,
        sizes=sizes,
        preprocessing=preprocessing,
        on_progress=on_progress,
        on_scan=on_progress,
    )


def make_task(
    name: str,
    title: str,
    preset: str = "course",
    preprocessing: Preprocessing | None = None,
    sizes: tuple[int, int, int] = SIZES,
    *,
    folder: Path | None = None,
    options: Options | None = None,
) -> Task:
    """Make the task with other images, or of scans in a folder.

    Args:
        folder: Else the one that the environment names, or the synthetic cohort.
        options: How the folder is read; else those of the environment.

    Raises:
        DataError, UsageError: see find_question.
    """
    preprocessing = preprocessing or Preprocessing()
    named, asked = folder or folders.find_folder(folders.PPMI), options or find_options()
    grouping, n_folds = find_question(named, asked)
    return Task(
        name=name,
        title=title,
        default_models=VOLUME_MODELS if preprocessing.slices == "volume" else ("vgg16-c", "resnet-c", "vit-c"),
        load=partial(load, preset, preprocessing, sizes, folder, options),
        input_shape=preprocessing.input_shape,
        class_names=grouping.classes,
        n_validation=None,
        target=TARGET if grouping is COURSE else None,
        time_limit_s=1800.0,
        eval_every_epochs=1,
        distortion=DISTORTION,
        recipes=RECIPES,
        is_ordinal=grouping.is_ordinal,
        n_pictured=N_PICTURED if named is None or asked.shows_pictures else 0,
        references=describe_references,
        load_pool=partial(load_pool, preset, preprocessing),
        n_folds=n_folds,
    )


def from_spect(
    path: str | Path,
    *,
    name: str | None = None,
    grouping: str = "",
    assume_pd: bool = False,
    register: bool = False,
    n_folds: int = 1,
    held_out_sites: bool = False,
    pictures: bool = False,
    slices: str = "window",
    recipes: dict[str, Recipe] | None = None,
) -> Task:
    """See Task.from_spect."""
    folder = Path(path).resolve()
    find_question.cache_clear()  # in a notebook the folder's tables may have changed since it was last asked
    options = Options(grouping, assume_pd, register, n_folds, held_out_sites, pictures)
    task = make_task(
        check_name(name or folder.name),
        f"DaT-SPECT scans in {folder.name}",
        preprocessing=Preprocessing(slices=slices),
        folder=folder,
        options=options,
    )
    return replace(task, recipes=task.recipes | (recipes or {}))


def _make_arm(name: str) -> Task:
    arm = name.partition(ARM)[2]
    if arm in (*SLICES, *STACKS):
        return make_task(name, f"Parkinson stages, {SLICE_TITLES[arm]}", preprocessing=Preprocessing(slices=arm))
    normalisation, extent = arm.split("-")
    crop = CROP if extent == "crop" else None
    title = f"Parkinson stages, normalisation {normalisation}, {'central crop' if crop else 'whole slice'}"
    return make_task(name, title, preprocessing=Preprocessing(normalisation=normalisation, crop=crop))


TASKS: dict[str, Task] = {
    "spect": replace(make_task("spect", "Parkinson stages from DaT-SPECT slices, cohort `course`"), inspect=inspect),
    "spect-realistic": make_task("spect-realistic", "the same, cohort `realistic`", preset="realistic"),
    "spect-small": make_task("spect-small", f"the first {sum(SMALL)} patients of `spect`, to try it out", sizes=SMALL),
    **{name: _make_arm(name) for name in (*SPECT_ARMS, *(f"spect+{stack}" for stack in STACKS))},
}
