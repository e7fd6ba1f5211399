"""Facts from the kernel on processor, limits and graphics. An absent fact is None, with the reason.

Everything is read below one root folder, so that a made-up tree can stand in for /proc and /sys.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.host.nvml import describe_gpus, open_nvml

ROOT = Path("/")
# What numerical libraries read at the start of a process for their number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# How the firmware of a virtual machine calls itself, by the start of vendor or product; a server's names its maker.
# Source: systemd, src/basic/virt.c. Makers of hardware as well (Oracle, Microsoft) are told by their product alone.
VIRTUAL = (
    *(
        "KVM",
        "QEMU",
        "OpenStack",
        "KubeVirt",
        "Amazon EC2",
        "VMware",
        "VMW",
        "innotek GmbH",
        "VirtualBox",
        "Xen",
        "xen",
    ),
    *("Bochs", "Parallels", "BHYVE", "Hyper-V", "Virtual Machine", "Apple Virtualization", "Google Compute Engine"),
)
# Files that an engine leaves in the root folder, and folders in which one keeps the layers of the root folder.
MARKS = {".dockerenv": "docker", "run/.containerenv": "podman"}
LAYERS = {"/containerd/": "containerd", "/docker/": "docker", "/containers/storage/": "podman or cri-o"}
UNLIMITED_BYTES = 2**60  # cgroup v1 writes "no limit" as the largest number of whole pages
HIDDEN = "not shown by this kernel; a hypervisor or container keeps it to itself"


@dataclass(frozen=True)
class Fact:
    """A value, or None and why there is none."""

    value: JsonValue
    reason: str = ""


def read_facts(root: Path = ROOT, nvml: Any = None) -> dict[str, Fact]:
    """Read the settings that can change on one machine and influence its measurements."""
    return {
        "n_cores": read_cores(root),
        "governor": read_governor(root),
        "is_turbo": read_turbo(root),
        "is_smt": _read_flag(root / "sys/devices/system/cpu/smt/active"),
        "hypervisor": read_hypervisor(root),
        "container": read_container(root),
        "cpu_limit": read_cpu_limit(root),
        "memory_limit_bytes": read_memory_limit(root),
        "clock_source": _read_text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "counters": read_counters(root),
        "perf_event_paranoid": _read_text(root / "proc/sys/kernel/perf_event_paranoid"),
        "affinity": read_affinity(),
        "threads": Fact({**limit_threads(), "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY")}),
        "gpus": read_gpus(nvml),
    }


def limit_threads(n_threads: int = 1) -> dict[str, str]:
    """Variables that a worker is started with: threads of each numerical library; others it inherits."""
    return dict.fromkeys(THREAD_VARIABLES, str(n_threads))


def read_affinity() -> Fact:
    """CPUs that this process may run on, and so its workers, which hop over them."""
    if not hasattr(os, "sched_getaffinity"):
        return Fact(None, "this system does not pin processes")
    return Fact([*sorted(os.sched_getaffinity(0))])


def read_cores(root: Path = ROOT) -> Fact:
    """Physical cores; two threads of one core share it and disturb each other."""
    lists = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    cores = {path.read_text().strip() for path in lists}
    return Fact(len(cores)) if cores else Fact(None, HIDDEN)


def read_governor(root: Path = ROOT) -> Fact:
    """Frequency governor of the CPUs; more than one is joined by a comma."""
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    names = {path.read_text().strip() for path in paths}
    return Fact(", ".join(sorted(names))) if names else Fact(None, f"cpufreq is {HIDDEN}")


def read_turbo(root: Path = ROOT) -> Fact:
    """Read if the clock may rise above its nominal rate; Intel's driver states the opposite."""
    cpu = root / "sys/devices/system/cpu"
    no_turbo = _read_flag(cpu / "intel_pstate/no_turbo")
    if no_turbo.value is not None:
        return Fact(not no_turbo.value)
    return _read_flag(cpu / "cpufreq/boost")


def read_hypervisor(root: Path = ROOT) -> Fact:
    """Read the name of the hypervisor where the machine tells one; "none" on bare metal."""
    flags = _find_line(root / "proc/cpuinfo", "flags")
    if flags is not None and "hypervisor" not in flags.split():
        return Fact("none")
    paths = ("sys/hypervisor/type", "sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name")
    names = [str(name) for path in paths if (name := _read_text(root / path).value)]
    if flags is not None:
        return Fact(next(iter(names), "unnamed"))
    if any(name.endswith(".metal") for name in names):  # Amazon's, which has the vendor of its virtual machines
        return Fact("none")
    found = next((name for name in names if name.startswith(VIRTUAL)), None)
    return Fact(found, "" if found else "this processor has no flag for it, and the firmware names no hypervisor")


def read_container(root: Path = ROOT) -> Fact:
    """The engine that left a mark; "none" where the kernel's own threads are in sight, which a container hides."""
    layers = _read_root_layers(root)
    marks = [
        *(engine for mark, engine in MARKS.items() if (root / mark).exists()),
        "kubernetes" if "KUBERNETES_SERVICE_HOST" in _read_environment(root / "proc/self/environ") else "",
        _read_environment(root / "proc/1/environ").get("container", ""),  # set by lxc, systemd-nspawn, podman
        str(_read_text(root / "run/systemd/container").value or ""),
        *(engine for folder, engine in LAYERS.items() if folder in layers),
    ]
    if found := next(filter(None, marks), ""):
        return Fact(found)
    if _read_text(root / "proc/2/comm").value == "kthreadd":
        return Fact("none")
    return Fact(None, "no engine left a mark, but the kernel's own threads are out of sight, as in a container")


def read_counters(root: Path = ROOT) -> Fact:
    """Units that count cycles and instructions, as the kernel names them."""
    devices = (root / "sys/bus/event_source/devices").glob("*")
    names = [device.name for device in devices if device.name == "cpu" or (device / "cpus").exists()]
    return Fact(", ".join(sorted(names))) if names else Fact(None, f"hardware counters are {HIDDEN}")


def read_cpu_limit(root: Path = ROOT) -> Fact:
    """CPUs' worth of time that the control group may use: the tightest limit on its way to the root (v2 or v1)."""
    limits = []
    for folder in _list_groups(root, "cpu"):
        quota, _, period = str(_read_text(folder / "cpu.max").value or "").partition(" ")
        if not quota:
            quota = str(_read_text(folder / "cpu.cfs_quota_us").value or "")
            period = str(_read_text(folder / "cpu.cfs_period_us").value or "")
        if quota.isdigit() and period.isdigit():
            limits.append(int(quota) / int(period))
    return Fact(min(limits)) if limits else Fact(None, "no limit is set")


def read_memory_limit(root: Path = ROOT) -> Fact:
    """Bytes that the control group may use: the tightest limit on its way to the root (v2 or v1)."""
    texts = [
        str(_read_text(folder / name).value or "")
        for folder in _list_groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    limits = [int(text) for text in texts if text.isdigit() and int(text) < UNLIMITED_BYTES]
    return Fact(min(limits)) if limits else Fact(None, "no limit is set")


def read_gpus(nvml: Any = None) -> Fact:
    try:
        return Fact(describe_gpus(open_nvml(nvml)))  # type: ignore[arg-type] # a list of plain dicts is JSON
    except MeasurementError as error:
        return Fact(None, error.cause)


def _list_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control group and of all above it, in either version of the hierarchy."""
    lines = str(_read_text(root / "proc/self/cgroup").value or "").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (controller if controllers else "")
        folder = base / path.lstrip("/")
        while folder != base and folder.is_relative_to(base):
            yield folder
            folder = folder.parent
        yield base


def _read_root_layers(root: Path) -> str:
    """Options of the overlay that is mounted as the root folder; empty where it is none."""
    for line in str(_read_text(root / "proc/self/mountinfo").value or "").splitlines():
        mount, _, options = line.partition(" - ")
        if mount.split()[4] == "/" and options.startswith("overlay "):
            return options
    return ""


def _read_environment(path: Path) -> dict[str, str]:
    """Variables that a process was started with; none where they are somebody else's."""
    pairs = (entry.partition("=") for entry in str(_read_text(path).value or "").split("\0"))
    return {name: value for name, _, value in pairs}


def _read_text(path: Path) -> Fact:
    try:
        return Fact(path.read_text(errors="replace").strip())
    except OSError:
        return Fact(None, HIDDEN)


def _read_flag(path: Path) -> Fact:
    """A file that holds 0 or 1."""
    found = _read_text(path)
    return Fact(found.value == "1") if found.value is not None else found


def _find_line(path: Path, name: str) -> str | None:
    """The value of the first `name : value` line."""
    for line in str(_read_text(path).value or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
