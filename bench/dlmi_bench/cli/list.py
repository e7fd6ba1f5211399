"""The command `list`: what the registries hold."""

from enum import StrEnum
from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, print_json


class Registry(StrEnum):
    tasks = "tasks"
    models = "models"
    families = "families"
    arms = "arms"
    backends = "backends"
    suites = "suites"


def list_(
    what: Annotated[Registry | None, typer.Argument(help="Which registry; all of them by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List tasks, models with their families and the arms that make one compact, backends and suites."""
    found = list_registries(what.value if what else None)
    if as_json:
        from dlmi_bench.cli.answers import ListAnswer

        print_json(ListAnswer.model_validate(found))
        return
    for registry, entries in found.items():
        typer.echo(registry.replace("_", " "))
        width = max(map(len, entries))
        for name, entry in entries.items():
            state = f" [{entry['state']}]" if "state" in entry else ""
            typer.echo(f"  {name:<{width}}  {entry['title']}{state}")


def list_registries(only: str | None = None) -> dict[str, dict[str, dict[str, object]]]:
    """Entries by registry and name; each has at least a title."""
    from dlmi_bench.backends import BACKENDS
    from dlmi_bench.jobs.plugins import FAULTS, load_entry_points
    from dlmi_bench.suite.suites import SUITES, Suite, select_models
    from dlmi_models import MODELS
    from dlmi_models.arms import TITLES
    from dlmi_models.families import list_families
    from dlmi_tasks import TASKS

    load_entry_points()

    def n_models(suite: Suite) -> int:
        return len({model for task in suite.tasks for model in select_models(suite, task)})

    found: dict[str, dict[str, dict[str, object]]] = {
        "tasks": {name: {"title": _describe_task(name)} for name in TASKS},
        "models": {name: {"title": entry.title} for name, entry in MODELS.items()},
        "families": {name: {"title": title} for name, title in list_families().items()},
        "arms": {name: {"title": title} for name, title in TITLES.items()},
        "backends": {name: {"title": entry.title, "state": entry.describe_state()} for name, entry in BACKENDS.items()},
        "suites": {
            name: {"title": f"{', '.join(s.tasks)}: {n_models(s)} models, {s.n_seeds} seeds"}
            | s.model_dump(mode="json")
            for name, s in SUITES.items()
        },
    }
    if FAULTS and not only:
        found["left_out"] = {name: {"title": fault} for name, fault in FAULTS.items()}
    return {only: found[only]} if only else found


def _describe_task(name: str) -> str:
    """Title of a task; of one that somebody's package breaks, why."""
    from dlmi_bench.errors import BenchError
    from dlmi_tasks import get_task

    try:
        return get_task(name).title
    except BenchError as error:
        return f"broken: {error.cause}"
