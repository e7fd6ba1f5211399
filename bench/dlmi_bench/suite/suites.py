"""Suites: those that come with the program, and the user's own in TOML."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import Field

from dlmi_bench.backends import BACKENDS, DEFAULT_BACKENDS
from dlmi_bench.errors import UnavailableError, UsageError, list_choices
from dlmi_bench.firmware.targets import TARGETS
from dlmi_bench.jobs.plugins import list_models
from dlmi_bench.records import ARM, CellKind, Plain
from dlmi_bench.toml import load_toml
from dlmi_models import MODELS
from dlmi_models.arms import split_name
from dlmi_tasks import SPECT_ARMS, TASKS, get_task

# Models from scratch and each other way of starting them; without the full-size ones, which take hours on a CPU.
TRANSFER_ARMS = tuple(name for name, entry in MODELS.items() if entry.starts and not entry.is_large)
# Those that the course names at their published size.
FULL_SIZE = ("vgg16-full", "resnet18-full", "resnet50-full", "vit-b16-full")
# Each choice on its own, and normalisation and crop together. A whole slice takes four times as long to train.
SLOW_ARMS = ("spect+max-full", "spect+zscore-full", "spect+minmax-full")
ABLATION_ARMS = tuple(arm for arm in SPECT_ARMS if arm not in SLOW_ARMS)

# Winners of the search on digits (dlmi_tasks/usps/frontier.toml), those that a published claim of compactness is about.
FRONTIER = (
    "mlp-64-32",
    "mlp-64-32+pruned-1500",
    "mlp-12-10",
    "mlp-16-12",
    "dct-28-18-12",
    "window-6-12",
    "window-28-40+distilled",
    "sepconv-5-5-8",
    "sepconv-6-9-10",
    "sepconv-8-8-9",
    "conv-12-18-20",
    "conv-12-18-19+distilled+int3",
)
# The smallest net of each kind that validation ranked beside vgg16-c (dlmi_tasks/spect/frontier.toml).
FRONTIER_SLICES = (
    "vgg16-c",
    "conv-4-4-4",
    "vit-8-2-2",
    "mlp-3-8",
    "mlp-64-32+pruned-2000",
    "dct-36-12-8",
    "dct-64-16-8",
)


class Suite(Plain):
    """A grid and how finely it is measured.

    Attributes:
        models: Names; a task that none of them is for takes its own defaults.
        counted: Models of which parameters, multiply-accumulates and bytes are counted without a training, on the
            tasks whose images they take, but for arms.
        measures: What is done besides training.
        backends: Runtimes; one that cannot run here gives figures that say why.
        n_seeds: Trainings of each model on each task.
        n_timed: Trainings of each model that have the machine to themselves and are timed and metered; later ones run
            side by side and give accuracies alone.
        n_processes: Fresh processes behind each latency.
        n_rounds: Rounds in each process.
        batches: Batch sizes at which latency is measured.
        threads: Numbers of threads at which it is; each is another benchmark, in processes of its own.
        budget_s: Time for more seeds of what the claims need until they are decided; 0 for none. See `deciding`.
        targets: Families of microcontrollers whose images are made; all by default.
        energy_window_s: Shortest energy window; work is repeated until it is filled. Below 1 s there is no energy.
    """

    name: str = "custom"
    tasks: tuple[str, ...] = ("usps", "spect")
    models: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    measures: tuple[CellKind, ...] = ("references", "counts", "memory", "energy", "latency")
    backends: tuple[str, ...] = DEFAULT_BACKENDS
    n_seeds: int = Field(5, ge=1, le=1000)
    n_timed: int = Field(5, ge=1, le=1000)
    n_processes: int = Field(5, ge=2, le=100)
    n_rounds: int = Field(100, ge=10, le=100_000)
    batches: tuple[int, ...] = Field((1, 64), min_length=1)
    threads: tuple[int, ...] = Field((1,), min_length=1)
    targets: tuple[str, ...] = tuple(TARGETS)
    energy_window_s: float = Field(3.0, gt=0, le=3600)
    budget_s: float = Field(0.0, ge=0, le=1_000_000)


SUITES: dict[str, Suite] = {
    "smoke": Suite(
        name="smoke",
        tasks=("usps", "spect-small"),
        models=("mlp-64-32", "cnn-4", "vgg16-c"),
        backends=("eager", "onnxruntime"),
        n_seeds=1,
        n_processes=2,
        n_rounds=30,
        batches=(1, 8),
        energy_window_s=1.0,
    ),
    "default": Suite(name="default", counted=FULL_SIZE, budget_s=380.0),
    "ablation": Suite(
        name="ablation", tasks=("spect", *ABLATION_ARMS), models=("vgg16-c", "resnet-c"), measures=("references",)
    ),
    "transfer": Suite(name="transfer", tasks=("spect",), models=TRANSFER_ARMS, measures=("counts",)),
    "firmware": Suite(
        name="firmware",
        tasks=("usps",),
        models=("softmax", "mlp-12-10", "mlp-16-12", "sepconv-5-5-8", "sepconv-6-9-10", "conv-12-18-20"),
        measures=("counts", "firmware"),
        backends=("onnxruntime",),
        n_seeds=1,
    ),
    "frontier": Suite(
        name="frontier",
        tasks=("usps",),
        models=FRONTIER,
        measures=("counts", "latency"),
        backends=("onnxruntime",),
        n_seeds=20,
        n_timed=2,
    ),
    "frontier-slices": Suite(
        name="frontier-slices",
        tasks=("spect",),
        models=FRONTIER_SLICES,
        measures=("references", "counts", "latency"),
        backends=("onnxruntime",),
        n_seeds=20,
        n_timed=2,
    ),
    "full": Suite(
        name="full",
        tasks=("usps", "usps-libsvm", "spect", "spect-realistic"),
        backends=tuple(BACKENDS),
        n_seeds=20,
        n_timed=20,
        n_processes=10,
        batches=(1, 8, 64, 256),
        threads=(1, 2, 4),
    ),
}


def load_suite(name: str) -> Suite:
    """A suite by name, or from a TOML file whose fields are those of `Suite`.

    Raises:
        UsageError: no such suite, an unreadable file, or a field that does not exist or fit; names all of them.
    """
    if name in SUITES:
        return SUITES[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise UsageError(f"no suite {name!r}", list_choices(name, SUITES, ", or a file that ends in .toml"))
    suite = load_toml(path, Suite)
    return check_names(suite.model_copy(update={"name": path.stem}), str(path))


def override(suite: Suite, **changes: Any) -> Suite:
    """The suite with what the command line says instead; None and empty lists change nothing.

    Where models are named and tasks are not, only the tasks that these models fit remain; and the other way round.

    Raises:
        UsageError: see check_names.
        UnavailableError: a backend of the command line cannot run on this machine.
    """
    for name in changes.get("backends", ()):
        if name in BACKENDS and (missing := BACKENDS[name].find_missing()):
            raise UnavailableError(f"--backend {name}: {missing}", "leave it out, or see `dlmi-bench list backends`")
    update = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items() if v}
    named = [name for name in update.get("models", ()) if name in MODELS]
    if named:
        update["counted"] = ()
    if named and "tasks" not in update:
        fitting = {task for name in named for task in list_tasks(name, suite.tasks)}
        update["tasks"] = tuple(task for task in suite.tasks if task in fitting)
    if "tasks" in update and not update.get("models"):
        known = tuple(name for name in update["tasks"] if name in TASKS)
        update["models"] = tuple(m for m in suite.models if m not in MODELS or list_tasks(m, known)) or suite.models
    return check_names(suite.model_copy(update=update), "command line")


def parse_shard(text: str) -> tuple[int, int]:
    """Index, from 1 on, and number of shards.

    Raises:
        UsageError: not of that form.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    index, n_shards = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= n_shards:
        raise UsageError(f"--shard {text[:40]}: not a share", "for instance --shard 2/4, the second of four")
    return index, n_shards


def select_models(suite: Suite, task: str) -> list[str]:
    """Select the suite's models for the task, else the task's own defaults: in the registry's order, families last."""
    named = [name for name in suite.models if task in list_tasks(name, suite.tasks)]
    order = {name: place for place, name in enumerate(MODELS)}
    return sorted(named or get_task(task).default_models, key=lambda name: order.get(split_name(name)[0], len(order)))


def select_counted(suite: Suite, task: str) -> list[str]:
    """Select the models that are counted on the task and not trained."""
    if ARM in task:
        return []
    trained, shape = select_models(suite, task), get_task(task).input_shape
    return [name for name in suite.counted if name not in trained and MODELS[name].fits(shape)]


def list_tasks(model: str, tasks: tuple[str, ...]) -> list[str]:
    """List the tasks that have the model among their defaults, and those without defaults whose images it takes.

    Where there is none, those with other defaults whose images it takes.
    """
    base, known = model.partition(ARM)[0], [(name, get_task(name)) for name in tasks]
    fitting = [name for name, task in known if MODELS[model].fits(task.input_shape)]
    default = [name for name, task in known if base in task.default_models]
    return [name for name, task in known if name in default or (name in fitting and not task.default_models)] or fitting


def check_names(suite: Suite, where: str) -> Suite:
    """The suite itself, once every task, model and backend in it is known.

    Raises:
        UsageError: names the first that is not.
    """
    registries: dict[str, Collection[str]] = {
        "tasks": TASKS,
        "models": MODELS,
        "counted": MODELS,
        "backends": BACKENDS,
    }
    for field, registry in registries.items():
        for name in getattr(suite, field):
            if name not in registry:
                remedy = list_models(name) if registry is MODELS else list_choices(name, registry)
                raise UsageError(f"{where}: {field}: no {name!r}", remedy)
    for name in suite.models:
        if not any(name in select_models(suite, task) for task in suite.tasks):
            remedy = "name a task with images of another size with --task, or another model"
            shapes = {task: "x".join(map(str, get_task(task).input_shape)) for task in suite.tasks}
            tasks = ", ".join(f"{task} ({shape})" for task, shape in shapes.items())
            raise UsageError(f"{where}: models: {name} takes the images of none of the tasks {tasks}", remedy)
    for field in ("batches", "threads"):
        if any(n < 1 for n in getattr(suite, field)):
            raise UsageError(f"{where}: {field}: {getattr(suite, field)}", "each is at least 1")
    return suite
