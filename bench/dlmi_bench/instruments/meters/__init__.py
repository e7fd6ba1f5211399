"""Energy meters: each part of the machine is read by the best one that works here.

Counters of the processor (RAPL) and of the GPU (NVML) are read by this project's own readers; what they leave to
CodeCarbon is another system's counter, a load model, or a constant.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import Component, Idle, Meter, measure_idle
from dlmi_bench.instruments.meters.nvml import NvmlMeter
from dlmi_bench.instruments.meters.rapl import RaplMeter
from dlmi_bench.instruments.meters.tracker import CodeCarbonMeter

MAX_IDLE_S = 10.0

# Best first. What is measured comes before what is modelled, own readers before the tracker.
METERS: dict[str, Callable[[], Meter]] = {"rapl": RaplMeter, "nvml": NvmlMeter, "codecarbon": CodeCarbonMeter}


class MeterStack:
    """Several meters as one: of each component the first that reads it.

    Attributes:
        refusals: Why the meters that do not work here do not, by name.
    """

    def __init__(self, meters: Sequence[Meter], refusals: dict[str, MeasurementError] | None = None) -> None:
        self._meters = list(meters)
        self.refusals = refusals or {}

    def start(self) -> None:
        """Start every meter or none.

        Raises:
            MeasurementError: a meter did not start, or there is none.
        """
        if not self._meters:
            raise next(reversed(self.refusals.values()))
        with ExitStack() as started:
            for meter in reversed(self._meters):  # the best starts last and stops first: the others cost it nothing
                meter.start()
                started.callback(meter.stop)
            started.pop_all()

    def stop(self) -> list[Component]:
        """Stop every meter, also after one that failed: left open it would count into the next window.

        Raises:
            MeasurementError: a meter failed.
        """
        parts: list[Component] = []
        with ExitStack() as stopping:
            for meter in reversed(self._meters):
                stopping.callback(_read, meter, parts)
        found: dict[str, Component] = {}
        for part in parts:
            found.setdefault(part.name, part)
        return list(found.values())


def open_meters(makers: dict[str, Callable[[], Meter]] | None = None) -> MeterStack:
    """Every meter that works on this machine; where none does the stack says so when it is started."""
    meters: list[Meter] = []
    refusals: dict[str, MeasurementError] = {}
    for name, make in (METERS if makers is None else makers).items():
        try:
            meters.append(make())
        except MeasurementError as error:
            refusals[name] = error
    return MeterStack(meters, refusals)


@cache
def energy_meter() -> MeterStack:
    """One stack of meters for each process: the first start of the tracker is what costs."""
    return open_meters()


@cache
def idle_baseline(window_s: float) -> Idle:
    """The idle machine, once for each process; at most MAX_IDLE_S of it."""
    return measure_idle(energy_meter(), window_s=min(window_s, MAX_IDLE_S))


def _read(meter: Meter, parts: list[Component]) -> None:
    parts += meter.stop()
