"""Nets of trainings written in C: a folder for each, with a test that anybody can build."""

from pathlib import Path

from dlmi_bench.errors import DataError, UnavailableError
from dlmi_bench.native.writing.project import write_project
from dlmi_bench.store.artifacts import artifact_path
from dlmi_reports.results.load import Results, make_slug

ROLE = "onnx"


def write_c(results: Results, folder: Path) -> list[Path]:
    """Write c/TASK--MODEL--seed-N/ for every training whose net can be written in C.

    Raises:
        UnavailableError: there is none; says why the first one cannot.
    """
    paths, refusals = list[Path](), list[str]()
    for task, model in results.trained:
        for record in model.trainings:
            name = f"{make_slug(task.name)}--{make_slug(model.name)}--seed-{record.cell.seed_index}"
            for artifact in (artifact for artifact in record.artifacts if artifact.role == ROLE):
                try:
                    paths += write_project(artifact_path(results.folder, artifact), folder / "c" / name)
                except DataError as error:
                    refusals.append(f"{model.name}: {error.cause.rpartition(': ')[2]}")
    if not paths:
        why = f"; {refusals[0]}" if refusals else ""
        cause = f"{results.folder}: no training left an ONNX file that can be written in C{why}"
        raise UnavailableError(cause, "train with `dlmi-bench run`, a small net of dense layers and convolutions")
    return paths
