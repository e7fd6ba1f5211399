"""Kind of a machine: what decides the times, joules and peak memory measured on it. Equal nodes are one kind."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache

from pydantic import JsonValue

from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_machine, describe_settings

UNKNOWN = "unknown machine"
ORNAMENTS = re.compile(r"\((?:R|TM|tm)\)|\b(?:CPU|Processor)\b")
# Names that emulators give any processor, a version of their own among them.
EMULATED = ("QEMU", "Common")


def describe_kind(provenance: Mapping[str, JsonValue]) -> str:
    """Name the kind of machine of a result: processor, CPUs that could be used, whether it is virtual, and GPUs.

    Host, memory and kernel are no part of it, since equal nodes differ in them. A processor whose name tells no model,
    as that of many virtual machines, has the fingerprint of its machine in its place: such machines stay apart.
    """
    machine, settings = (_read(provenance, name) for name in ("machine", "settings"))
    cpu, machine_id = str(machine.get("cpu") or ""), provenance.get("machine_id")
    if not cpu:
        return f"machine {machine_id}" if machine_id else UNKNOWN
    name = _name_processor(cpu, str(machine_id or ""))
    virtual = ["virtual"] if machine.get("is_virtual") else []
    return ", ".join([name, *_describe_cpus(machine, settings), *virtual, *_list_gpus(settings)])


@cache
def _name_processor(cpu: str, machine_id: str) -> str:
    name = " ".join(ORNAMENTS.sub(" ", cpu).split())
    return name if not machine_id or _tells_model(name) else f"{name} {machine_id}"


def is_here(provenance: Mapping[str, JsonValue]) -> bool:
    """Tell whether a result comes from this machine, or from another one of its kind."""
    return provenance.get("machine_id") == compute_machine_id() or describe_kind(provenance) == describe_own_kind()


@cache
def describe_own_kind() -> str:
    """Name the kind of this machine."""
    here: dict[str, JsonValue] = {"machine": describe_machine(), "machine_id": compute_machine_id()}
    return describe_kind({**here, **describe_settings()})


def _read(provenance: Mapping[str, JsonValue], name: str) -> dict[str, JsonValue]:
    found = provenance.get(name)
    return found if isinstance(found, dict) else {}


def _tells_model(name: str) -> bool:
    """Tell whether a name has a number besides its clock rate; one of a single word is that of an architecture."""
    words = name.partition("@")[0].split()
    return len(words) > 1 and words[0] not in EMULATED and any(map(str.isdigit, "".join(words)))


def _describe_cpus(machine: dict[str, JsonValue], settings: dict[str, JsonValue]) -> list[str]:
    """Write how many CPUs could be used, by the control group too, and of how many; nothing where that is not known."""
    known = (machine.get("n_cpus_allowed"), machine.get("n_cpus"), settings.get("cpu_limit"))
    numbers = [float(n) for n in known if isinstance(n, int | float)]
    if not numbers:
        return []
    n, n_all = min(numbers), machine.get("n_cpus")
    of = f" of {n_all}" if n_all not in (None, n) else ""
    return [f"{n:g}{of} {'CPU' if n == 1 and not of else 'CPUs'}"]


def _list_gpus(settings: dict[str, JsonValue]) -> list[str]:
    found = settings.get("gpus")
    gpus = [gpu for gpu in found if isinstance(gpu, dict)] if isinstance(found, list) else []
    counts = Counter(str(gpu.get("name") or "unnamed GPU") for gpu in gpus)
    return [name if n == 1 else f"{n} x {name}" for name, n in sorted(counts.items())]
