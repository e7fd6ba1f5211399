"""What to run: the suites that come with the program, and the user's own in TOML."""

from collections.abc import Collection
from pathlib import Path

from pydantic import Field

from bench.backends import BACKENDS, DEFAULT_BACKENDS
from bench.errors import UsageError
from bench.records import Plain
from bench.toml import load_toml
from models import MODELS
from tasks import TASKS


class Suite(Plain):
    """A grid and how finely it is measured.

    Attributes:
        backends: Runtimes; one that cannot run here gives figures that say why.
        n_seeds: Trainings of each model on each task.
        n_processes: Fresh processes behind each latency.
        n_rounds: Rounds in each process.
        batches: Batch sizes at which latency is measured.
        energy_window_s: Shortest energy window; work is repeated until it is filled.
    """

    name: str = "custom"
    tasks: tuple[str, ...] = ("usps",)
    models: tuple[str, ...] = tuple(MODELS)
    backends: tuple[str, ...] = DEFAULT_BACKENDS
    n_seeds: int = Field(5, ge=1, le=1000)
    n_processes: int = Field(5, ge=2, le=100)
    n_rounds: int = Field(100, ge=10, le=100_000)
    batches: tuple[int, ...] = Field((1, 64), min_length=1)
    energy_window_s: float = Field(3.0, gt=0, le=3600)


SUITES: dict[str, Suite] = {
    "smoke": Suite(
        name="smoke",
        models=("softmax", "mlp-64-32", "cnn-4"),
        n_seeds=1,
        n_processes=2,
        n_rounds=30,
        energy_window_s=1.0,
    ),
    "default": Suite(name="default"),
    "full": Suite(
        name="full",
        tasks=tuple(TASKS),
        backends=tuple(BACKENDS),
        n_seeds=20,
        n_processes=10,
        batches=(1, 8, 64, 256),
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
        raise UsageError(f"no suite {name!r}", f"use one of {', '.join(SUITES)}, or a file that ends in .toml")
    suite = load_toml(path, Suite)
    return check_names(suite.model_copy(update={"name": path.stem}), str(path))


def check_names(suite: Suite, where: str) -> Suite:
    """The suite itself, once every task, model and backend in it is known.

    Raises:
        UsageError: names the first that is not.
    """
    registries: dict[str, Collection[str]] = {"tasks": TASKS, "models": MODELS, "backends": BACKENDS}
    for field, registry in registries.items():
        for name in getattr(suite, field):
            if name not in registry:
                raise UsageError(f"{where}: {field}: no {name!r}", f"use one of {', '.join(registry)}")
    if any(batch < 1 for batch in suite.batches):
        raise UsageError(f"{where}: batches: {suite.batches}", "batch sizes are at least 1")
    return suite
