"""Images for microcontrollers as exact costs: flash, RAM and instructions of each target that a run made images for."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from dlmi_bench.jobs.protocol import FirmwareRequest
from dlmi_bench.records import Figure, Record

COSTS = ("flash_bytes", "ram_bytes", "n_instructions")
ON = " on "


def list_image_costs(figures: Iterable[Figure]) -> dict[str, int]:
    """Costs by figure and target, for instance "flash_bytes on cortex-m0plus"."""
    known = [f for f in figures if f.name in COSTS and f.value is not None]
    return {f"{f.name}{ON}{f.conditions['target']}": round(f.value or 0) for f in known}


def find_image_costs(records: Iterable[Record], task: str, model: str) -> dict[str, int]:
    """Costs of the images that a run made of a model; none where it made none."""
    wanted = ("firmware", task, model)
    figures = [f for r in records if (r.cell.kind, r.cell.task, r.cell.model) == wanted for f in r.figures]
    return list_image_costs(figures)


def make_image_costs(costs: Mapping[str, int], task: str, path: Path) -> dict[str, int]:
    """Costs of a file's images for the targets that the baseline has; what this machine cannot make is left out."""
    targets = tuple(dict.fromkeys(name.partition(ON)[2] for name in costs if ON in name))
    if not targets:
        return {}
    from dlmi_bench.jobs.firmware import run_firmware_job

    request = FirmwareRequest(task=task, seed_index=0, path=str(path), targets=targets)
    return list_image_costs(run_firmware_job(request, lambda *_: None))
