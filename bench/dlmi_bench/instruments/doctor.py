"""Diagnosis of this machine: what it can measure, what it cannot, and the remedy."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import Idle
from dlmi_bench.instruments.host.facts import ROOT, Fact, read_facts
from dlmi_bench.instruments.host.neighbours import MAX_PRESSURE, MAX_STEAL, Neighbours, NeighbourWatch
from dlmi_bench.instruments.memory import CLEAR_REFS
from dlmi_bench.units import format_share

# High-water marks of a run and its worker, USPS and SPECT loaded (0.9 and 1.8 GiB), and some room.
SUITE_BYTES = 3 * 2**30
MAX_PARANOID = 2  # of kernel.perf_event_paranoid, up to which a user may count what his own processes do

MODELS = {
    "cpu_load_model": "a load curve on a guessed thermal limit",
    "tdp_constant": "a constant times time",
    "ram_constant": "a constant times time",
}
# Part of the machine, what it is called, the meter that counts its joules, and what that takes.
PARTS = (
    ("cpu", "processor", "rapl", "it needs a processor with RAPL, on bare metal"),
    ("ram", "memory", "rapl", "it needs a server with a dram zone"),
    ("gpu", "GPU", "nvml", "it needs a whole GPU of NVIDIA, from Volta on"),
)


@dataclass(frozen=True)
class Finding:
    """Answer to one question: can this be measured here, if not why, and the remedy."""

    topic: str
    can: Literal["yes", "partly", "no"]
    says: str
    remedy: str = ""


@dataclass(frozen=True)
class Look:
    """Observations that the findings rest on.

    Attributes:
        facts: Of the machine.
        neighbours: While this process slept.
        idle: What the meters read; None where none works.
        refusals: Why the others do not.
        can_reset_peak: Whether the high-water mark of memory can be reset.
    """

    facts: Mapping[str, Fact]
    neighbours: Neighbours
    idle: Idle | None
    refusals: Mapping[str, MeasurementError]
    can_reset_peak: bool


def look(root: Path = ROOT) -> Look:
    """Look at this machine; the meters are tried for a second."""
    from dlmi_bench.instruments.energy import measure_idle
    from dlmi_bench.instruments.meters import open_meters

    idle: Idle | None = None
    meters = open_meters()
    refusals = meters.refusals
    watch = NeighbourWatch()
    try:
        idle = measure_idle(meters, window_s=1.0)
    except MeasurementError as error:
        refusals = refusals | {"codecarbon": error}
    return Look(read_facts(root), watch.read(), idle, refusals, os.access(CLEAR_REFS, os.W_OK))


def examine(seen: Look) -> list[Finding]:
    """Findings in the order in which they matter."""
    return [
        *_examine_clock(seen.facts),
        *_examine_neighbours(seen),
        *_examine_limits(seen.facts),
        _examine_memory(seen),
        *_examine_energy(seen),
        _examine_gpu(seen.facts),
    ]


def _examine_clock(facts: Mapping[str, Fact]) -> Iterator[Finding]:
    if facts["affinity"].value is None:
        yield Finding("latency", "partly", "processes cannot be pinned to a CPU here; twice as many run", "use Linux")
    else:
        yield Finding("latency", "yes", "processes can be pinned to a CPU; one thread, side by side")
    governor, turbo = facts["governor"], facts["is_turbo"]
    if governor.value is None or turbo.value is None:
        hidden = " and ".join(name for name, fact in (("governor", governor), ("turbo", turbo)) if fact.value is None)
        says = f"{hidden} not shown by this kernel: a change of clock cannot be seen, only its effect (`mixed` rows)"
        yield Finding("clock rate", "partly", says, "run on bare metal, or compare side by side as the gate does")
    elif governor.value != "performance" or turbo.value:
        says = f"governor {governor.value}, turbo {'on' if turbo.value else 'off'}: the clock follows load and heat"
        yield Finding(
            "clock rate",
            "partly",
            says,
            "sudo cpupower frequency-set -g performance; echo 1 | sudo tee "
            "/sys/devices/system/cpu/intel_pstate/no_turbo (or 0 to cpufreq/boost)",
        )
    else:
        yield Finding("clock rate", "yes", "governor performance, turbo off")
    if facts["is_smt"].value:
        says = "two threads share a core: work on the sibling slows what is timed"
        yield Finding("cores", "partly", says, "echo off | sudo tee /sys/devices/system/cpu/smt/control")


def _examine_neighbours(seen: Look) -> Iterator[Finding]:
    pressure, steal = seen.neighbours.pressure, seen.neighbours.steal
    if pressure is None:
        says = "this kernel has no /proc/pressure: busy neighbours show only in the spread of the rounds"
        yield Finding("neighbours", "partly", says, "boot with psi=1")
    elif pressure > MAX_PRESSURE:
        says = f"some process waited for a CPU {format_share(pressure)} of the time, while this one slept: it is busy"
        yield Finding("neighbours", "partly", says, "end other work (top), or measure later")
    else:
        yield Finding("neighbours", "yes", f"quiet: processes waited for a CPU {format_share(pressure)} of the time")
    if steal is not None and steal > MAX_STEAL:
        says = f"{format_share(steal)} of the CPU time went to other guests of this host"
        yield Finding("neighbours", "partly", says, "use a machine of its own, or a dedicated instance")


def _examine_limits(facts: Mapping[str, Fact]) -> Iterator[Finding]:
    hypervisor, container, limit = (facts[name].value for name in ("hypervisor", "container", "cpu_limit"))
    if hypervisor not in (None, "none"):
        says = f"a virtual machine (hypervisor {hypervisor}): its neighbours on the host are not seen"
        yield Finding("absolute figures", "partly", says, "run on bare metal where absolute figures matter")
    yield _examine_counters(facts["counters"], facts["perf_event_paranoid"])
    if isinstance(limit, float) and limit < (os.cpu_count() or 1):
        says = f"the control group may use {limit:g} CPUs and is stopped when that is spent"
        yield Finding("cpu limit", "partly", says, "lift the quota (docker run --cpuset-cpus instead of --cpus)")
    elif container not in (None, "none"):
        yield Finding("container", "yes", f"{container}, without a limit on CPU time")
    memory = facts["memory_limit_bytes"].value
    if isinstance(memory, int) and memory < SUITE_BYTES:
        says = (
            f"the control group may use {_format_gib(memory)}, the default suite takes about {_format_gib(SUITE_BYTES)}"
        )
        yield Finding("memory limit", "partly", f"{says}: a training may be killed", "raise it (docker run --memory)")


def _examine_counters(counters: Fact, paranoid: Fact) -> Finding:
    """Nothing here reads them; perf does, to explain what is measured here."""
    if counters.value is None:
        says = "cycles and instructions are not counted here: the kernel shows no unit for it"
        return Finding("hardware counters", "no", says, "run on bare metal, or give the virtual machine a vPMU")
    if str(paranoid.value).isdigit() and int(str(paranoid.value)) > MAX_PARANOID:
        says = f"{counters.value}, for root only (kernel.perf_event_paranoid is {paranoid.value})"
        return Finding("hardware counters", "partly", says, f"sudo sysctl kernel.perf_event_paranoid={MAX_PARANOID}")
    return Finding("hardware counters", "yes", f"{counters.value}, for perf and the like")


def _format_gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"


def _examine_memory(seen: Look) -> Finding:
    if seen.can_reset_peak:
        return Finding("peak memory", "yes", "the kernel's high-water mark, reset in a fresh process")
    return Finding("peak memory", "no", f"{CLEAR_REFS} is not writable", "use Linux, with /proc mounted")


def _examine_energy(seen: Look) -> Iterator[Finding]:
    idle = seen.idle or Idle({}, 0.0)
    parts = {name: (source, watts) for (name, source), watts in idle.power_w.items()}
    for component, title, meter, needs in PARTS:
        topic = f"energy, {title}"
        source, watts = parts.get(component, ("", 0.0))
        refusal = seen.refusals.get(meter) or seen.refusals.get("codecarbon")
        why = refusal.cause if refusal else "no counter of its own"
        remedy = refusal.remedy if refusal else needs
        if not source and (component != "gpu" or meter in seen.refusals):
            yield Finding(topic, "no", why, remedy)
        elif source in idle.modelled:
            model = MODELS.get(source, f"{source}, of which nothing is known here")
            says = f"{why}. Modelled instead: {model} ({watts:.1f} W now); it ranks nothing"
            yield Finding(topic, "no", says, remedy)
        elif source:
            yield Finding(topic, "yes", f"measured by {source}, {watts:.1f} W now")


def _examine_gpu(facts: Mapping[str, Fact]) -> Finding:
    gpus = facts["gpus"]
    if isinstance(gpus.value, list) and gpus.value:
        names = [gpu["name"] for gpu in gpus.value if isinstance(gpu, dict)]
        says = ", ".join(str(name or "one that does not answer") for name in names)
        if all(names):
            return Finding("GPU", "yes", says)
        return Finding("GPU", "partly", says, "see what `nvidia-smi` says of it; a lost one needs a restart")
    return Finding("GPU", "no", gpus.reason or "the driver sees none", "everything else runs on the CPU")
