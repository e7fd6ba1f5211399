"""CodeCarbon in a strict wrapper: offline, every parameter explicit, every component with the source that it hides.

Where no meter is readable it multiplies time by a constant or a load curve; such components are modelled.
"""

import logging
from typing import Any

from bench.energy import Component
from bench.errors import MeasurementError
from bench.records import FigureKind

JOULES_PER_KWH = 3.6e6
# Emissions are not reported, only energy; CodeCarbon wants a country or silently takes one.
COUNTRY = "CHE"
REMEDY = "check that the installed codecarbon is the version in constraints.txt"

# CodeCarbon's mode of its CPU meter -> our name of the source, measured or modelled.
CPU_SOURCES: dict[str, tuple[str, FigureKind]] = {
    "intel_rapl": ("rapl", "measured"),
    "windows_emi": ("windows_emi", "measured"),
    "intel_power_gadget": ("intel_power_gadget", "measured"),
    "cpu_load": ("cpu_load_model", "modelled"),
    "constant": ("tdp_constant", "modelled"),
}
# Its other parts by class, GPUs by the class of the device.
SOURCES: dict[str, tuple[str, FigureKind]] = {
    "RAM": ("ram_constant", "modelled"),
    "NvidiaGPUDevice": ("nvml", "measured"),
    "AMDGPUDevice": ("amdsmi", "measured"),
    "AppleSiliconChip": ("apple_powermetrics", "measured"),
    "Raspberry": ("raspberry_pmic", "measured"),
}

SETTINGS: dict[str, Any] = {
    "project_name": "dlmi-bench",
    "measure_power_secs": 1.0,
    "tracking_mode": "machine",
    "country_iso_code": COUNTRY,
    "region": None,
    "cloud_provider": None,
    "cloud_region": None,
    "country_2letter_iso_code": None,
    "output_methods": [],
    "output_handlers": [],
    "emissions_endpoint": None,
    "api_endpoint": None,
    "api_key": None,
    "log_level": "critical",
    "gpu_ids": None,
    "force_cpu_power": None,
    "force_ram_power": None,
    "force_mode_cpu_load": False,
    "force_carbon_intensity_g_co2e_kwh": None,
    "rapl_include_dram": False,
    "rapl_prefer_psys": False,
    "allow_multiple_runs": True,  # a lock would replace our signal handlers
    "pue": 1.0,
    "wue": 0.0,
}


class CodeCarbonMeter:
    """An offline tracker in task mode, every parameter explicit, so that no file or variable of the user changes it."""

    def __init__(self) -> None:
        # Two lines of its log come before its level applies, and its logger has a handler of its own.
        logging.getLogger("codecarbon").addFilter(lambda _: False)
        from codecarbon import OfflineEmissionsTracker

        self._tracker: Any = OfflineEmissionsTracker(**SETTINGS)
        # The first task costs 1-2 s (it looks the processor up): pay for it outside every window.
        self.start()
        self.stop()

    def start(self) -> None:
        self._tracker.start_task()

    def stop(self) -> list[Component]:
        # Its constructor and methods swallow every exception: a dead tracker shows only in what it lacks.
        try:
            data = self._tracker.stop_task()
            # No public interface says which meters are in use.
            hardware = self._tracker._hardware
        except AttributeError as error:
            raise MeasurementError(f"CodeCarbon's tracker did not start: {error}", REMEDY) from error
        if data is None:
            raise MeasurementError("CodeCarbon's tracker returned no data", REMEDY)
        return [read_component(part, data) for part in hardware]


def read_component(part: Any, data: Any) -> Component:
    """One of CodeCarbon's hardware parts as a component with its provenance; an unknown one counts as modelled."""
    kind_name, mode = type(part).__name__, str(getattr(part, "_mode", ""))
    name = str(getattr(part, "chip_part", kind_name)).lower()
    if kind_name == "GPU":
        kind_name = next((type(device).__name__ for device in part.devices.devices), kind_name)
    unknown: tuple[str, FigureKind] = (f"unknown:{kind_name}:{mode}", "modelled")
    source, kind = CPU_SOURCES.get(mode, unknown) if kind_name == "CPU" else SOURCES.get(kind_name, unknown)
    return Component(name, float(getattr(data, f"{name}_energy")) * JOULES_PER_KWH, source, kind)
