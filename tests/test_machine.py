"""Facts about a machine, read from made-up trees of /proc and /sys."""

from pathlib import Path

import pynvml
import pytest

from dlmi_bench.instruments.host import facts as machine
from dlmi_bench.instruments.host.facts import Fact, read_facts
from stand_ins import FakeClock, FakeNvml, plant

BARE = {
    "proc/cpuinfo": "model name : Xeon\nflags : fpu avx2\n",
    "proc/self/cgroup": "0::/user.slice/job\n",
    "proc/2/comm": "kthreadd\n",
    "proc/sys/kernel/perf_event_paranoid": "2\n",
    "sys/bus/event_source/devices/cpu/type": "4\n",
    "sys/bus/event_source/devices/power/type": "9\n",
    "sys/devices/system/cpu/smt/active": "1\n",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,2\n",
    "sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1,3\n",
    "sys/devices/system/cpu/cpu2/topology/thread_siblings_list": "0,2\n",
    "sys/devices/system/cpu/cpu3/topology/thread_siblings_list": "1,3\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
    "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/job/memory.max": "1073741824\n",
}


def test_bare_machine(tmp_path: Path, clock: FakeClock) -> None:
    """Two cores of two threads, two governors, turbo on; the tightest limit holds, also one further up the tree."""
    facts = read_facts(plant(tmp_path, BARE), FakeNvml(clock, (70.0,)))
    values = {name: fact.value for name, fact in facts.items()}
    assert (values["n_cores"], values["is_smt"], values["is_turbo"]) == (2, True, True)
    assert (values["governor"], values["hypervisor"]) == ("performance, powersave", "none")
    assert (values["cpu_limit"], values["memory_limit_bytes"]) == (1.5, 2**30)
    assert values["gpus"] == [{"name": "GPU 0", "driver": "580.95", "memory_bytes": 80 * 2**30}]
    assert values["container"] == "none"
    assert (values["counters"], values["perf_event_paranoid"]) == ("cpu", "2")


def test_limits_of_the_first_cgroup_version(tmp_path: Path) -> None:
    """Half a CPU by quota over period; the largest page count means that there is no limit."""
    files = {
        "proc/self/cgroup": "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "9223372036854771712\n",
    }
    facts = read_facts(plant(tmp_path, files))
    assert facts["cpu_limit"] == Fact(0.5)
    assert facts["memory_limit_bytes"] == Fact(None, "no limit is set")


def test_guest_in_a_container(tmp_path: Path) -> None:
    """The flag gives the hypervisor away, the vendor names it, and a file in the root folder tells the container."""
    files = {"proc/cpuinfo": "flags : fpu hypervisor\n", ".dockerenv": ""}
    facts = read_facts(plant(tmp_path, files))
    assert (facts["hypervisor"].value, facts["container"].value) == ("unnamed", "docker")
    plant(tmp_path, {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"})
    assert machine.read_hypervisor(tmp_path).value == "Amazon EC2"


@pytest.mark.parametrize(
    ("vendor", "product", "expected"),
    [
        ("Supermicro", "ARS-110M", None),
        ("Microsoft Corporation", "Surface Pro", None),
        ("Microsoft Corporation", "Virtual Machine", "Virtual Machine"),
        ("QEMU", "KVM Virtual Machine", "QEMU"),
        ("Amazon EC2", "c6g.xlarge", "Amazon EC2"),
        ("Amazon EC2", "c6g.metal", "none"),
    ],
)
def test_processor_without_flags(tmp_path: Path, vendor: str, product: str, expected: str | None) -> None:
    """ARM has `Features`: only the name of a hypervisor tells of one, that of a maker of servers says nothing."""
    dmi = {"sys/class/dmi/id/sys_vendor": vendor, "sys/class/dmi/id/product_name": product}
    found = machine.read_hypervisor(plant(tmp_path, {"proc/cpuinfo": "Features : fp asimd\n", **dmi}))
    assert found.value == expected
    assert bool(found.reason) == (expected is None)


OVERLAY = "597 569 0:150 / / rw,relatime master:2 - overlay overlay rw,lowerdir=/var/lib/{}/9/fs\n"
CONTAINERS = {
    "docker": {".dockerenv": ""},
    "podman": {"run/.containerenv": ""},
    "kubernetes": {"proc/self/environ": "A=1\0KUBERNETES_SERVICE_HOST=10.0.0.1\0"},
    "lxc": {"proc/1/environ": "PATH=/bin\0container=lxc\0"},
    "systemd-nspawn": {"run/systemd/container": "systemd-nspawn\n"},
    "containerd": {
        "proc/self/mountinfo": OVERLAY.format("containerd/io.containerd.snapshotter.v1.overlayfs/snapshots")
    },
    "podman or cri-o": {"proc/self/mountinfo": OVERLAY.format("containers/storage/overlay/l")},
    "none": {"proc/2/comm": "kthreadd\n", "proc/self/mountinfo": OVERLAY.format("live")},
}


@pytest.mark.parametrize("engine", CONTAINERS)
def test_container_is_known_by_its_marks(tmp_path: Path, engine: str) -> None:
    """A file, a variable or the folder of the root's layers names the engine; the kernel's threads in sight: none."""
    assert machine.read_container(plant(tmp_path, CONTAINERS[engine])) == Fact(engine)


def test_counters_of_hybrid_processors(tmp_path: Path) -> None:
    """Each kind of core has counters of its own, with the list of its CPUs; those of the uncore are not meant."""
    names = ("cpu_core/cpus", "cpu_atom/cpus", "uncore_imc_0/cpumask")
    plant(tmp_path, {f"sys/bus/event_source/devices/{name}": "0-3\n" for name in names})
    assert machine.read_counters(tmp_path) == Fact("cpu_atom, cpu_core")


def test_boost_of_other_drivers(tmp_path: Path) -> None:
    """cpufreq/boost says yes with 1, intel_pstate/no_turbo with 0."""
    assert machine.read_turbo(plant(tmp_path, {"sys/devices/system/cpu/cpufreq/boost": "1"})).value is True
    assert machine.read_turbo(plant(tmp_path, {"sys/devices/system/cpu/intel_pstate/no_turbo": "1"})).value is False


ABSENT = ("governor", "is_turbo", "is_smt", "hypervisor", "container", "clock_source", "counters", "gpus", "n_cores")


@pytest.mark.parametrize("name", ABSENT)
def test_absent_is_none_with_a_reason(tmp_path: Path, clock: FakeClock, name: str) -> None:
    """On a system that tells nothing, every fact is None and says why; none is 0 or a guess."""
    fact = read_facts(tmp_path, FakeNvml(clock, (), init=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))[name]
    assert fact.value is None
    assert fact.reason


def test_gpu_that_answers_in_part_is_described_in_part(clock: FakeClock) -> None:
    """A GPU without memory of its own has none, with the reason; one that is lost has nothing; others are whole."""
    nvml = FakeNvml(
        clock,
        (70.0, 70.0, 70.0),
        memory={0: pynvml.NVML_ERROR_NOT_SUPPORTED},
        handle={1: pynvml.NVML_ERROR_GPU_IS_LOST},
    )
    shared, lost, whole = read_facts(nvml=nvml)["gpus"].value  # type: ignore[misc,union-attr]
    assert shared == {
        "name": "GPU 0", "driver": "580.95", "memory_bytes": None, "absent": {"memory_bytes": "Not Supported"},
    }  # fmt: skip
    assert lost["absent"] == dict.fromkeys(("name", "memory_bytes"), "GPU is lost")
    assert whole == {"name": "GPU 2", "driver": "580.95", "memory_bytes": 80 * 2**30}


def test_driver_that_does_not_count_is_a_reason(clock: FakeClock) -> None:
    """A driver that fails after it answered gives no GPUs and says why; it takes no run down."""
    fact = machine.read_gpus(FakeNvml(clock, (70.0,), count=pynvml.NVML_ERROR_UNKNOWN))
    assert fact == Fact(None, "NVML: Unknown Error")
