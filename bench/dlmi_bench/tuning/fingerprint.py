"""Fingerprint of a trial: a hash of all that decides its outcome. A stored trial is kept while it is the same."""

import hashlib
import json
from dataclasses import asdict

from dlmi_bench.closure import hash_code, hash_distribution, hash_objects, list_closure
from dlmi_bench.instruments.host.provenance import describe_versions
from dlmi_bench.jobs.protocol import TuneRequest
from dlmi_bench.jobs.source_files import PREFIX
from dlmi_models import MODELS, ModelEntry
from dlmi_tasks.spec import Task
from dlmi_tasks.training.imagenet import identify

ROOTS = ("dlmi_tasks.training.loop", "dlmi_tasks.training.start")
# Words, files and registries: they decide no outcome.
LEFT_OUT = (
    *(f"dlmi_bench.{name}" for name in ("errors", "records", "files", "extras")),
    "dlmi_models",
    "dlmi_tasks",
)


def compute_fingerprint(request: TuneRequest, task: Task, sha256: dict[str, str]) -> str:
    """Hash of the recipe in use, what is changed in it, data, network, versions and code."""
    cell, entry = request.cell, MODELS[request.cell.model]
    parts = {
        "cell": [cell.key, cell.seed, request.fold],
        "recipe": [task.recipe(cell.model).describe(), request.tried],
        "data": [sha256, task.n_validation, task.time_limit_s, task.eval_every_epochs],
        "distortion": asdict(task.distortion) if task.distortion else None,
        "network": [task.input_shape, task.n_classes, entry.module, entry.factory, entry.arguments],
        "start": [entry.start, entry.is_frozen, identify(entry) if entry.start == "imagenet" else ""],
        "versions": describe_versions() | {"dlmi-bench": ""},
        "code": _hash_code(entry),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _hash_code(entry: ModelEntry) -> list[str]:
    """Hashes of what trains, and of the model; of a file of the user's only what the model needs counts."""
    is_file = not entry.module or entry.module.startswith(PREFIX)
    code = hash_code(list_closure((*ROOTS, *([] if is_file else [entry.module])), LEFT_OUT))
    if not entry.is_own:
        return [code]
    return [code, hash_distribution(entry.module), hash_objects(entry.own.factory, entry.own.adapter)]
