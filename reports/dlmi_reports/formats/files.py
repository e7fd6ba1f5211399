"""Files of exports, one per task and model."""

from collections.abc import Iterator
from pathlib import Path

from dlmi_reports.results.load import ModelResults, Results, TaskResults, make_slug


def make_name(task: TaskResults, model: ModelResults) -> str:
    return f"{make_slug(task.name)}--{make_slug(model.name)}"


def list_trained(results: Results) -> Iterator[tuple[str, TaskResults, ModelResults]]:
    """List (file name without ending, task, model) of every model that was trained."""
    for task in results.tasks.values():
        for model in task.models.values():
            if model.compute_accuracy():
                yield make_name(task, model), task, model


def write_texts(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Write texts by file name; make the folder only if there are any."""
    for name, text in texts.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
