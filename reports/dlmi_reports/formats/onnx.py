"""ONNX files of what was trained, by name: those that were judged and timed, byte for byte, and packed ones."""

from pathlib import Path

from dlmi_bench.errors import UnavailableError
from dlmi_bench.files import atomic_file
from dlmi_bench.store.artifacts import read_artifact
from dlmi_reports.results.load import Results, make_slug

ROLES = ("onnx", "packed")


def write_onnx(results: Results, folder: Path) -> list[Path]:
    """Write onnx/TASK--MODEL--seed-N.onnx for every training that left a file, and .packed where it was packed.

    Raises:
        StoreError: a file is damaged.
        UnavailableError: there is none.
    """
    paths = []
    for task, model in results.trained:
        for record in model.trainings:
            for artifact in (artifact for artifact in record.artifacts if artifact.role in ROLES):
                stem = f"{make_slug(task.name)}--{make_slug(model.name)}--seed-{record.cell.seed_index}"
                name = f"{stem}{artifact.suffix}"
                path = folder / "onnx" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(path) as file:
                    file.write(read_artifact(results.folder, artifact))
                paths.append(path)
    if not paths:
        raise UnavailableError(f"{results.folder}: no training left an ONNX file", "train with `dlmi-bench run`")
    return paths
