"""Energy by CodeCarbon, in a strict wrapper: every joule says which meter it came from, or which model.

Measured and modelled joules are never added. Where no meter is readable CodeCarbon multiplies time by a constant or
a load curve; such figures carry kind `modelled` and inherit whatever the latency verdict says.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from bench.clock import Clock, HostClock
from bench.errors import MeasurementError
from bench.records import FigureKind

JOULES_PER_KWH = 3.6e6
# Shortest window [s]: three ticks of the load model's 1 s monitor; counters (RAPL, NVML) tick much faster.
MIN_WINDOW_S = 3.0
# Emissions are not reported, only energy; CodeCarbon wants a country or silently takes one.
COUNTRY = "CHE"

# CodeCarbon's mode of its CPU meter -> our name of the source, measured or modelled.
CPU_SOURCES: dict[str, tuple[str, FigureKind]] = {
    "intel_rapl": ("rapl", "measured"),
    "windows_emi": ("windows_emi", "measured"),
    "intel_power_gadget": ("intel_power_gadget", "measured"),
    "cpu_load": ("cpu_load_model", "modelled"),
    "constant": ("tdp_constant", "modelled"),
}
SOURCES: dict[str, tuple[str, FigureKind]] = {
    "RAM": ("ram_constant", "modelled"),
    "GPU": ("nvml", "measured"),
    "AppleSiliconChip": ("apple_powermetrics", "measured"),
}


@dataclass(frozen=True)
class Component:
    """Energy of one part of the machine over one window."""

    name: str
    energy_j: float
    source: str
    kind: FigureKind


class Meter(Protocol):
    """Counts energy between `start` and `stop`."""

    def start(self) -> None: ...

    def stop(self) -> list[Component]: ...


@dataclass(frozen=True)
class EnergySample:
    """Energy of one repeat of the work, from a window that held `n_repeats` of them. Gross: idle is not subtracted."""

    components: tuple[Component, ...]
    n_repeats: int
    window_s: float


def measure_energy(
    work: Callable[[], object], meter: Meter, *, min_window_s: float = MIN_WINDOW_S, clock: Clock | None = None
) -> EnergySample:
    """Repeat identical work until the window is long enough for the meter, then divide.

    Raises:
        MeasurementError: the meter died, or read nothing at all.
    """
    clock = clock or HostClock()
    n_repeats = 0
    meter.start()
    start_ns = clock.wall_ns()
    while n_repeats == 0 or clock.wall_ns() - start_ns < min_window_s * 1e9:
        work()
        n_repeats += 1
    window_s = (clock.wall_ns() - start_ns) / 1e9
    parts = meter.stop()
    if not any(part.energy_j > 0 for part in parts):
        raise MeasurementError(
            f"energy: the meter read 0 J over {window_s:.1f} s",
            "run `codecarbon detect`",
        )
    per_repeat = tuple(Component(p.name, p.energy_j / n_repeats, p.source, p.kind) for p in parts)
    return EnergySample(per_repeat, n_repeats, window_s)


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
        return [_read(part, data) for part in hardware]


@cache
def energy_meter() -> CodeCarbonMeter:
    """One tracker for each process: its first start is what costs."""
    return CodeCarbonMeter()


REMEDY = "check that the installed codecarbon is the version in constraints.txt"
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


def _read(part: Any, data: Any) -> Component:
    """One of CodeCarbon's hardware parts as a component with its provenance."""
    kind_name = type(part).__name__
    field, name = {"RAM": ("ram_energy", "ram"), "GPU": ("gpu_energy", "gpu")}.get(kind_name, ("cpu_energy", "cpu"))
    mode = str(getattr(part, "_mode", ""))
    unknown: tuple[str, FigureKind] = (f"unknown:{kind_name}:{mode}", "modelled")
    source, kind = CPU_SOURCES.get(mode, unknown) if kind_name == "CPU" else SOURCES.get(kind_name, unknown)
    return Component(name, float(getattr(data, field)) * JOULES_PER_KWH, source, kind)
