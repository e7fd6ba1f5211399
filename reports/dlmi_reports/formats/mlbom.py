"""CycloneDX 1.6 ML-BOM: model, file, accuracy with interval, and energy.

Source: CycloneDX 1.6, modelCard, quantitativeAnalysis and environmentalConsiderations.
"""

import json
import uuid
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.files import write_text
from dlmi_bench.records import Figure
from dlmi_reports.results.load import Results, TaskResults, make_slug
from dlmi_reports.results.machines import find_kind
from dlmi_reports.results.model import ModelResults

KWH = 3.6e6  # joules
IDENTITY = ("component", "scope", "idle_subtracted", "n_inferences")  # conditions of an energy that its reader needs


def write_mlboms(results: Results, folder: Path) -> list[Path]:
    """Write mlbom/TASK--MODEL.cdx.json for every model that was trained."""
    paths = []
    for task, model in results.trained:
        path = folder / "mlbom" / f"{make_slug(task.name)}--{make_slug(model.name)}.cdx.json"
        paths.append(write_text(path, json.dumps(make_mlbom(task, model), indent=2) + "\n"))
    return paths


def make_mlbom(task: TaskResults, model: ModelResults) -> dict[str, JsonValue]:
    """Make a document that is the same for the same records."""
    first = model.trainings[0]
    hashes = [artifact.sha256 for artifact in first.artifacts if artifact.role == "onnx"]
    considerations: dict[str, JsonValue] = {
        "environmentalConsiderations": {"energyConsumptions": _list_energy(task, model)}
    }
    if task.is_synthetic:
        considerations["technicalLimitations"] = ["Judged on synthetic data: says nothing about patients."]
    card: JsonValue = {
        "modelParameters": {
            "task": "image-classification",
            "datasets": [{"type": "dataset", "name": task.provenance.data.name or task.name}],
        },
        "quantitativeAnalysis": {"performanceMetrics": _list_metrics(model)},
        "considerations": considerations,
    }
    component: JsonValue = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": model.name,
        "version": hashes[0][:12] if hashes else "unknown",
        "hashes": [{"alg": "SHA-256", "content": sha256} for sha256 in hashes],
        "modelCard": card,
    }
    identity = json.dumps([task.name, component], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identity)}",
        "version": 1,
        "metadata": {"component": component},
    }


def _list_metrics(model: ModelResults) -> list[JsonValue]:
    found: list[JsonValue] = []
    for name in ("test_accuracy", "validation_accuracy"):
        accuracy = model.compute_accuracy(name)
        if accuracy:
            bounds: JsonValue = {"lowerBound": f"{accuracy.lo:.6f}", "upperBound": f"{accuracy.hi:.6f}"}
            found.append({"type": name, "value": f"{accuracy.mean:.6f}", "confidenceInterval": bounds})
    return found


def _list_energy(task: TaskResults, model: ModelResults) -> list[JsonValue]:
    """List the energy of training and inference by component, gross and net, each with its source; no sums.

    Where the task has costs of several kinds of machine, each energy names its own.
    """
    measured = [model.measured["energy"]] if "energy" in model.measured else []
    stages = (("training", model.trainings[:1]), ("inference", measured))
    return [
        _make_energy(figure, stage, find_kind(record) if len(task.kinds) > 1 else None)
        for stage, records in stages
        for record in records
        for figure in record.figures
        if figure.name == f"{stage}_energy_j" and figure.value is not None
    ]


def _make_energy(figure: Figure, activity: str, kind: str | None) -> dict[str, JsonValue]:
    assert figure.value is not None
    said = {name: figure.conditions[name] for name in IDENTITY if name in figure.conditions}
    said |= {"machine": kind} if kind else {}
    said |= {"kind": figure.kind, "source": figure.source, "method": figure.method}
    # The schema requires providers; those of this machine are not known.
    provider: JsonValue = {
        "organization": {"name": "unknown"},
        "energySource": "unknown",
        "energyProvided": _to_kwh(figure.value),
    }
    return {
        "activity": activity,
        "energyProviders": [provider],
        "activityEnergyCost": _to_kwh(figure.value),
        "properties": [{"name": f"dlmi-bench:{name}", "value": _to_text(value)} for name, value in said.items()],
    }


def _to_text(value: str | float) -> str:
    """Convert to text, as the schema requires; booleans are written as in JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _to_kwh(energy_j: float) -> dict[str, JsonValue]:
    return {"value": energy_j / KWH, "unit": "kWh"}
