"""CodeCarbon in a strict wrapper: offline, every parameter explicit, every component with the source that it hides.

Where no meter is readable it multiplies time by a constant or a load curve; such components are modelled.
"""

import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import gettempdir
from typing import Any, NamedTuple

from dlmi_bench.errors import MeasurementError
from dlmi_bench.extras import describe_missing, is_installed
from dlmi_bench.instruments.energy import Component
from dlmi_bench.records import FigureKind

JOULES_PER_KWH = 3.6e6
# Emissions are not reported, only energy: their factor is forced to 0, so that none is looked up, least of all on the
# network. CodeCarbon wants a country all the same, or silently takes one.
COUNTRY = "CHE"
REMEDY = "check that the installed codecarbon is the version in constraints.txt"

MONITOR_S = 1.0  # its monitor asks for the power once a second; a task's end is one more look
KERNEL_TICK_S = 0.01  # the load curve is fed from the kernel's CPU times, from one look to the next


class Source(NamedTuple):
    """Our name of what CodeCarbon reads, measured or modelled, and how often it moves."""

    name: str
    kind: FigureKind
    tick_s: float = MONITOR_S


# CodeCarbon's mode of its CPU meter -> source.
CPU_SOURCES: dict[str, Source] = {
    "intel_rapl": Source("rapl", "measured"),
    "windows_emi": Source("windows_emi", "measured"),
    "intel_power_gadget": Source("intel_power_gadget", "measured"),
    "cpu_load": Source("cpu_load_model", "modelled", KERNEL_TICK_S),
    "constant": Source("tdp_constant", "modelled", 0.0),
}
# Its other parts by class, GPUs by the class of the device.
SOURCES: dict[str, Source] = {
    "RAM": Source("ram_constant", "modelled", 0.0),
    "NvidiaGPUDevice": Source("nvml", "measured"),
    "AMDGPUDevice": Source("amdsmi", "measured"),
    "AppleSiliconChip": Source("apple_powermetrics", "measured"),
    "Raspberry": Source("raspberry_pmic", "measured"),
}

# Every parameter of its constructors, but for old names of these that it ignores beside the new ones.
SETTINGS: dict[str, Any] = {
    "project_name": "dlmi-bench",
    "experiment_name": "base",
    "experiment_id": "",
    "measure_power_secs": MONITOR_S,
    "tracking_mode": "machine",
    "country_iso_code": COUNTRY,
    "region": None,
    "cloud_provider": None,
    "cloud_region": None,
    "country_2letter_iso_code": None,
    "force_carbon_intensity_g_co2e_kwh": 0.0,
    "electricitymaps_api_token": "",  # None would let the old name of the token in
    "output_methods": [],
    "output_handlers": [],
    "output_dir": gettempdir(),  # Intel's Power Gadget writes its log there
    "output_file": "",
    "on_csv_write": "append",
    "emissions_endpoint": None,
    "api_endpoint": None,
    "api_key": None,
    "api_call_interval": -1,
    "prometheus_url": None,
    "metadata": None,
    "log_level": "critical",
    "logger_preamble": "",
    "logging_logger": None,
    "gpu_ids": None,
    "force_cpu_power": None,
    "force_ram_power": None,
    "force_mode_cpu_load": False,
    "rapl_include_dram": False,
    "rapl_prefer_psys": False,
    "allow_multiple_runs": True,  # a lock would replace our signal handlers
    "pue": 1.0,
    "wue": 0.0,
}


class CodeCarbonMeter:
    """An offline tracker in task mode, every parameter explicit, so that no file or variable of the user changes it."""

    def __init__(self) -> None:
        if not is_installed("codecarbon"):
            cause, _, remedy = describe_missing("codecarbon").partition("; ")
            raise MeasurementError(cause, remedy)
        # Two lines of its log come before its level applies, and its logger has a handler of its own.
        logging.getLogger("codecarbon").addFilter(lambda _: False)
        self._tracker: Any = None
        # The first task costs 1-2 s (it looks the processor up): pay for it outside every window.
        self.start()
        self.stop()

    def start(self) -> None:
        # A tracker that fails, here or below, is not used again: its task would run on into the next window.
        tracker, self._tracker = self._tracker or open_tracker(), None
        with _tell_failures():
            tracker.start_task()
        self._tracker = tracker

    def stop(self) -> list[Component]:
        tracker, self._tracker = self._tracker, None
        with _tell_failures():
            data = tracker.stop_task()
            # No public interface says which meters are in use.
            hardware = tracker._hardware
        if data is None:
            raise MeasurementError("CodeCarbon's tracker returned no data", REMEDY)
        self._tracker = tracker
        return [read_component(part, data) for part in hardware]


@contextmanager
def _tell_failures() -> Iterator[None]:
    """CodeCarbon's constructor swallows every exception, so that a dead tracker shows only in what it lacks.

    Its tasks let through what drivers raise, each of a kind of its own.
    """
    try:
        yield
    except Exception as error:
        raise MeasurementError(f"CodeCarbon's tracker failed or did not start: {error}", REMEDY) from error


def open_tracker() -> Any:
    """A tracker that leaves RAPL to our own reader: where that refuses a counter, CodeCarbon would read it as 0 J."""
    from codecarbon import OfflineEmissionsTracker, emissions_tracker
    from codecarbon.core.cpu import is_rapl_available

    emissions_tracker.count_physical_cpus = count_sockets
    return OfflineEmissionsTracker(**SETTINGS | {"force_mode_cpu_load": is_rapl_available()})


def count_sockets() -> int:
    """Count sockets by lscpu, as CodeCarbon does, but silently where /sys is hidden; 1 where it does not tell."""
    try:
        said = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return 1
    found = (line.partition(":")[2].strip() for line in said.splitlines() if "Socket(s):" in line)
    return int(count) if (count := next(found, "")).isdigit() else 1


def read_component(part: Any, data: Any) -> Component:
    """One of CodeCarbon's hardware parts as a component with its provenance; an unknown one counts as modelled."""
    kind_name, mode = type(part).__name__, str(getattr(part, "_mode", ""))
    name = str(getattr(part, "chip_part", kind_name)).lower()
    if kind_name == "GPU":
        kind_name = next((type(device).__name__ for device in part.devices.devices), kind_name)
    unknown = Source(f"unknown:{kind_name}:{mode}", "modelled")
    source = CPU_SOURCES.get(mode, unknown) if kind_name == "CPU" else SOURCES.get(kind_name, unknown)
    energy_j = float(getattr(data, f"{name}_energy")) * JOULES_PER_KWH
    return Component(name, energy_j, source.name, source.kind, tick_s=source.tick_s)
