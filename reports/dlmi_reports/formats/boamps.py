"""BoAmps reports of energy, one per training or measurement of inference, and component.

Source: Boavizta, BoAmps data model 0.1 (report, task, measures, system, software, infrastructure).
"""

import json
import uuid
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.files import write_text
from dlmi_bench.records import Figure, Record
from dlmi_reports.results.load import Results, TaskResults, make_slug
from dlmi_reports.results.model import ModelResults
from dlmi_reports.results.provenance import read_provenance

KWH = 3.6e6  # joules
OWN_READERS = ("rapl", "nvml")  # the others are CodeCarbon's
STAGES = {"training_energy_j": "training", "inference_energy_j": "inference"}


def write_boamps(results: Results, folder: Path) -> list[Path]:
    """Write boamps/TASK--MODEL--STAGE-SEED-COMPONENT.json, with -net if it excludes what the idle machine draws."""
    paths = []
    for task in results.tasks.values():
        for model in task.models.values():
            for record in (*model.trainings, *model.measured.values()):
                for figure in record.figures:
                    if figure.name in STAGES and figure.value is not None:
                        component = make_slug(str(figure.conditions.get("component", "all")))
                        component += "-net" if figure.conditions.get("idle_subtracted") is True else ""
                        name = f"{STAGES[figure.name]}-{record.cell.seed_index}-{component}"
                        path = folder / "boamps" / f"{make_slug(task.name)}--{make_slug(model.name)}--{name}.json"
                        text = json.dumps(make_boamps(task, model, record, figure), indent=2)
                        paths.append(write_text(path, text + "\n"))
    return paths


def make_boamps(task: TaskResults, model: ModelResults, record: Record, figure: Figure) -> dict[str, JsonValue]:
    """Make one report. Measured and modelled joules are never mixed: each component has a report of its own."""
    assert figure.value is not None
    accuracy, n_inferences = model.compute_accuracy(), figure.conditions.get("n_inferences")
    provenance = read_provenance(record)
    machine, versions = provenance.machine, provenance.versions
    program = "dlmi-bench" if figure.source in OWN_READERS else "codecarbon"
    identity = json.dumps([record.cell.key, figure.model_dump(mode="json")], sort_keys=True)
    algorithm: dict[str, JsonValue] = {
        "algorithmName": model.name,
        "framework": "torch",
        "frameworkVersion": versions.get("torch", "unknown"),
    }
    if model.n_parameters < float("inf"):
        algorithm["parametersNumber"] = model.n_parameters
    described: dict[str, JsonValue] = {
        "taskStage": STAGES[figure.name],
        "taskFamily": "image classification",
        "algorithms": [algorithm],
        "dataset": [{"dataUsage": "input", "dataType": "image", "source": task.name}],
        "taskDescription": f"{'synthetic data; ' if task.is_synthetic else ''}{figure.kind}; {figure.method}",
    }
    if accuracy:
        described["measuredAccuracy"] = accuracy.mean
    if n_inferences is not None:
        described["nbRequest"] = n_inferences
    return {
        "header": {
            "formatVersion": "0.1",
            "reportId": str(uuid.uuid5(uuid.NAMESPACE_OID, identity)),
            "reportDatetime": provenance.date,
            "reportStatus": "final",
        },
        "task": described,
        "measures": [
            {
                "measurementMethod": f"{program} ({figure.source}, {figure.kind})",
                "version": versions.get(program, "unknown"),
                "powerConsumption": figure.value / KWH,
            }
        ],
        "system": {"os": str(machine.get("system", "unknown"))},
        "software": {"language": "python", "version": versions.get("python", "unknown")},
        "infrastructure": {
            "infraType": "unknown",
            "components": [
                {"componentName": str(machine.get("cpu", "unknown")), "componentType": "cpu", "nbComponent": 1}
            ],
        },
        "quality": "high" if figure.kind == "measured" else "low",
    }
