"""Energy against a meter of known slope, and CodeCarbon's habits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins import FakeClock

from bench.energy import CPU_SOURCES, SETTINGS, CodeCarbonMeter, Component, measure_energy
from bench.errors import MeasurementError
from bench.figures import make_energy_figures


class WattMeter:
    """Reads exactly `power_w` times the time between start and stop."""

    def __init__(self, clock: FakeClock, power_w: float) -> None:
        self.clock, self.power_w, self.start_ns = clock, power_w, 0

    def start(self) -> None:
        self.start_ns = self.clock.wall_ns()

    def stop(self) -> list[Component]:
        energy_j = self.power_w * (self.clock.wall_ns() - self.start_ns) / 1e9
        return [
            Component("cpu", energy_j, "rapl", "measured"),
            Component("ram", 2 * energy_j, "ram_constant", "modelled"),
        ]


def test_known_slope_is_read_exactly(clock: FakeClock) -> None:
    """A 1 W meter over work of 0.3 s reads 0.3 J a repeat, from a window that holds enough of them."""
    sample = measure_energy(lambda: clock.work(300_000_000), WattMeter(clock, 1.0), min_window_s=5.0, clock=clock)
    assert sample.n_repeats == 17
    assert sample.window_s == pytest.approx(5.1)
    assert sample.components[0].energy_j == pytest.approx(0.3)


def test_long_work_runs_once(clock: FakeClock) -> None:
    """Work that fills the window by itself is not repeated."""
    sample = measure_energy(lambda: clock.work(9_000_000_000), WattMeter(clock, 2.0), min_window_s=5.0, clock=clock)
    assert (sample.n_repeats, sample.components[0].energy_j) == (1, pytest.approx(18.0))


def test_components_stay_apart(clock: FakeClock) -> None:
    """Measured and modelled joules come as two figures, each with its source; there is no sum."""
    sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 1.0), clock=clock)
    figures = make_energy_figures("training_energy_j", sample)
    assert [(f.conditions["component"], f.kind, f.source) for f in figures] == [
        ("cpu", "measured", "rapl"),
        ("ram", "modelled", "ram_constant"),
    ]


def test_meter_that_reads_nothing_is_an_error(clock: FakeClock) -> None:
    """0 J over a window is a dead meter, not a frugal model."""
    with pytest.raises(MeasurementError, match="0 J"):
        measure_energy(lambda: clock.work(10**10), WattMeter(clock, 0.0), clock=clock)


def test_codecarbon_reads_and_names_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real tracker gives positive joules from a named source, prints nothing and leaves no file behind."""
    monkeypatch.chdir(tmp_path)
    meter = CodeCarbonMeter()
    sample = measure_energy(lambda: sum(range(10_000)), meter, min_window_s=0.3)
    assert all(part.energy_j > 0 for part in sample.components if part.name == "cpu")
    assert {part.name for part in sample.components} >= {"cpu", "ram"}
    known = {source for source, _ in CPU_SOURCES.values()} | {"ram_constant", "nvml", "apple_powermetrics"}
    assert {part.source for part in sample.components} <= known
    assert list(tmp_path.iterdir()) == []


def test_codecarbon_is_silent_and_ignores_the_users_settings(tmp_path: Path) -> None:
    """Nothing on either stream, and no CODECARBON variable changes a figure."""
    program = "from bench.energy import CodeCarbonMeter as M; m = M(); print(m._tracker._conf['force_cpu_power'])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"CODECARBON_FORCE_CPU_POWER": "1000", "CODECARBON_LOG_LEVEL": "debug"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr.strip()) == ("None", "")


def test_dead_tracker_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """CodeCarbon swallows a misspelt parameter and starts nothing: the wrapper says so."""
    monkeypatch.setitem(SETTINGS, "contry_iso_code", "CHE")
    with pytest.raises(MeasurementError, match="did not start"):
        CodeCarbonMeter()
