"""Energy meters: counters in a made-up powercap tree, a made-up NVML, CodeCarbon's habits."""

import errno
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import Component, Idle, measure_energy
from dlmi_bench.instruments.meters import MeterStack, idle_baseline, open_meters
from dlmi_bench.instruments.meters.nvml import NvmlMeter
from dlmi_bench.instruments.meters.rapl import MAX_POWER_W, POLL_S, Counter, RaplMeter, find_zones
from dlmi_bench.instruments.meters.tracker import CPU_SOURCES, SETTINGS, CodeCarbonMeter, read_component
from dlmi_bench.selftest.fakes import RANGE_UJ
from stand_ins import FakeClock, FakeNvml, Powercap, WattMeter

LOOK_S = 8.0


def open_meter(powercap: Powercap, probe: Callable[[float], object] | None = None, poll_s: float = 60.0) -> RaplMeter:
    """A meter of the tree, all of whose counters move by 0.1 J while it looks whether they do.

    Its clock moves by LOOK_S with each counter that it reads, whenever that is.
    """
    spend_all = dict.fromkeys((name.replace("-", "_") for name in powercap.folders), 0.1)
    probe, clock = probe or (lambda _: powercap.spend(**spend_all)), count(0.0, LOOK_S).__next__
    return RaplMeter(powercap.root, sleep=probe, poll_s=poll_s, clock=clock)


def wait_until(is_true: Callable[[], object]) -> None:
    """Sleep until another thread has done its part, however late this machine lets it run."""
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


SERVER = {
    "intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram",
    "intel-rapl:1": "package-1", "intel-rapl:2": "psys", "intel-rapl-mmio:0": "package-9",
}  # fmt: skip


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    return Powercap(tmp_path, SERVER)


def test_rapl_reads_each_joule_once(powercap: Powercap) -> None:
    """Packages are added up, memory is a component of its own; cores, psys and mmio count the same joules again."""
    meter = open_meter(powercap)
    meter.start()
    powercap.spend(package_0=30, package_1=12.5, core=25, dram=4, psys=60, package_9=30)
    assert meter.stop() == [
        Component("cpu", 42.5, "rapl", "measured", "package-0 + package-1", tick_s=0.001),
        Component("ram", 4.0, "rapl", "measured", "dram", tick_s=0.001),
    ]


def test_rapl_counts_over_the_wrap_around(powercap: Powercap) -> None:
    """A counter 10 J before its end that spends 25 J stands at 15 J: 25 J, not minus 65 kJ."""
    powercap.spend(package_0=(RANGE_UJ / 1e6) - 10.1)
    meter = open_meter(powercap)
    meter.start()
    powercap.spend(package_0=25)
    assert int((powercap.folders["package-0"] / "energy_uj").read_text()) == 15_000_000
    assert meter.stop()[0].energy_j == pytest.approx(25.0)


def test_rapl_polls_so_that_no_wrap_around_goes_unseen(powercap: Powercap) -> None:
    """Three laps of the counter within one window are all counted, since it is read in between."""
    meter = open_meter(powercap, poll_s=0.001)
    meter.start()
    (counter,) = (zone.counter for zone in meter._zones if zone.name == "package-0")
    for n_halves in range(1, 7):
        powercap.spend(package_0=RANGE_UJ / 2e6)
        wait_until(lambda n=n_halves: counter.total_uj >= n * RANGE_UJ // 2)
    assert meter.stop()[0].energy_j == pytest.approx(3 * RANGE_UJ / 1e6, rel=1e-6)


def test_counter_without_range_refuses_to_guess() -> None:
    """A fallen reading without a known range is an error, not a guess."""
    counter = Counter(0)
    counter.add(100, 0.0)
    counter.add(150, 1.0)
    assert counter.total_uj == 50
    with pytest.raises(MeasurementError, match="hides its range"):
        counter.add(10, 2.0)


def test_counter_that_was_reset_is_no_wrap_around(powercap: Powercap) -> None:
    """From 500 J to 5 J in no time, by the machine's own clock: an error, not 65 kJ; the next window is good again."""
    meter = RaplMeter(powercap.root, sleep=lambda _: powercap.spend(package_0=500))
    meter.start()
    (powercap.folders["package-0"] / "energy_uj").write_text("5000000\n")
    with pytest.raises(MeasurementError, match=r"moved by 65038 J in 0.\d s: it was reset or ran back"):
        meter.stop()
    meter.start()
    powercap.spend(package_0=1)
    assert meter.stop()[0].energy_j == pytest.approx(1.0)


@pytest.mark.parametrize("range_uj", [RANGE_UJ, 0])
def test_counter_moves_no_faster_than_a_machine_can_draw(range_uj: int) -> None:
    """Just below the limit counts, above it is an error, with and without a range; a tick that came late is neither."""
    counter = Counter(range_uj)
    for reading_uj, now_s in ((0, 0.0), (2_000_000, 0.0), (2_000_000 + int(10e6 * MAX_POWER_W), 10.0)):
        counter.add(reading_uj, now_s)
    assert counter.total_uj == counter.last_uj
    with pytest.raises(MeasurementError, match="it was reset"):
        counter.add(counter.total_uj + int(1.1e7 * MAX_POWER_W), 20.0)


def test_counter_that_was_not_read_for_too_long_refuses_to_guess() -> None:
    """After two polls that were missed a lap cannot have gone unseen; after four, or a night's sleep, it can."""
    counter = Counter(RANGE_UJ)
    counter.add(0, 0.0)
    counter.add(1, 3 * POLL_S)
    for gap_s in (5 * POLL_S, 3e4):
        with pytest.raises(MeasurementError, match=rf"not read for {gap_s:.0f} s and may have wrapped around unseen"):
            counter.add(2, 3 * POLL_S + gap_s)


def test_mirrored_packages_count_once(tmp_path: Path) -> None:
    """Dies that show one and the same counter are one zone."""
    powercap = Powercap(tmp_path, {"intel-rapl:0": "package-0-die-0", "intel-rapl:1": "package-0-die-1"})
    (powercap.folders["package-0-die-1"] / "energy_uj").write_text("200000\n")
    assert [zone.name for zone in find_zones(tmp_path)] == ["package-0-die-0"]


def test_rapl_says_why_not(powercap: Powercap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tree, no permission, a counter that stands still: three reasons, each with what to do."""
    with pytest.raises(MeasurementError, match=r"(?s)no counters in .*bare metal"):
        RaplMeter(tmp_path / "elsewhere")
    with pytest.raises(MeasurementError, match="stand still"):
        open_meter(powercap, probe=lambda _: None)

    read = Path.read_text

    def deny(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_text", deny)
    with pytest.raises(MeasurementError, match=r"only root may read it\n  remedy: sudo chmod a\+r"):
        open_meter(powercap)


def test_rapl_behind_dangling_links_is_a_matter_of_the_container(tmp_path: Path) -> None:
    """A masked folder leaves links that lead nowhere: refused in words, and the remedy is for the container."""
    tree = tmp_path / "sys/class/powercap"
    tree.mkdir(parents=True)
    (tree / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:0")
    with pytest.raises(MeasurementError, match=r"this container hides the counters\n  remedy: .*systempaths=unconf"):
        RaplMeter(tmp_path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENODEV, errno.ENODATA])
def test_counter_that_cannot_be_read_is_refused(powercap: Powercap, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Whatever the kernel answers instead of a number is an error with cause and remedy, at the opening and later."""
    meter, read = open_meter(powercap), Path.read_text

    def fail(path: Path) -> str:
        if path.name == "energy_uj":
            raise OSError(code, os.strerror(code), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_text", fail)
    for use in (meter.start, meter.stop, lambda: open_meter(powercap)):
        with pytest.raises(MeasurementError, match=rf"energy_uj: {os.strerror(code)}\n  remedy: "):
            use()


def test_zone_that_stands_still_is_left_out(powercap: Powercap) -> None:
    """A memory counter that stays at 0 leaves the packages as they are, and the scope says what is not in it."""
    meter = open_meter(powercap, probe=lambda _: powercap.spend(package_0=0.1, package_1=0.1))
    meter.start()
    powercap.spend(package_0=1, package_1=2)
    (part,) = meter.stop()
    assert (part.name, part.energy_j) == ("cpu", 3.0)
    assert part.scope == "package-0 + package-1; without dram: no counter that moves"


def test_death_of_the_counter_between_the_looks_is_told(powercap: Powercap) -> None:
    """What goes wrong while the counter is polled comes out at the end, though it reads again by then."""
    meter = open_meter(powercap, poll_s=0.005)
    meter.start()
    counter = powercap.folders["package-0"] / "energy_uj"
    counter.rename(counter.with_name("away"))
    wait_until(lambda: meter._failure)
    counter.with_name("away").rename(counter)
    with pytest.raises(MeasurementError, match="energy_uj: No such file"):
        meter.stop()
    meter.start()
    powercap.spend(package_0=1)
    assert meter.stop()[0].energy_j == pytest.approx(1.0)


def test_rapl_that_stops_in_the_window_is_found(powercap: Powercap, clock: FakeClock) -> None:
    """A counter that ran when it was opened and stands still during the work is an error."""
    with pytest.raises(MeasurementError, match="rapl and rapl read 0 J"):
        measure_energy(lambda: clock.work(10**10), open_meter(powercap), clock=clock)


def test_nvml_reads_its_slope(clock: FakeClock) -> None:
    """Two GPUs of 70 W and 30 W over 10 s: 1 000 J, measured."""
    meter = NvmlMeter(FakeNvml(clock, (70.0, 30.0)))
    sample = measure_energy(lambda: clock.work(10**10), meter, clock=clock)
    assert sample.components == (Component("gpu", 1000.0, "nvml", "measured", "2 GPU, whole board", 0.1),)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"init": pynvml.NVML_ERROR_DRIVER_NOT_LOADED}, "Driver Not Loaded"),
        ({"count": pynvml.NVML_ERROR_UNKNOWN}, "Unknown Error"),
        ({"handle": pynvml.NVML_ERROR_GPU_IS_LOST}, r"(?s)GPU is lost.*nvidia-smi"),
        ({"handle": pynvml.NVML_ERROR_NO_PERMISSION}, r"(?s)Insufficient Permissions.*/dev/nvidia"),
        ({"energy": pynvml.NVML_ERROR_NOT_SUPPORTED}, r"(?s)Not Supported.*from Volta on, neither a vGPU nor a MIG"),
    ],
)
def test_nvml_says_why_not(clock: FakeClock, faults: dict[str, int], words: str) -> None:
    """No driver, a lost or forbidden GPU, one without a counter: each with what to do about that."""
    with pytest.raises(MeasurementError, match=words):
        NvmlMeter(FakeNvml(clock, (70.0,), **faults))


def test_nvml_without_gpus_or_with_a_reset_counter_refuses(clock: FakeClock) -> None:
    """No GPU is not one of 0 W, and a counter that fell is no gain."""
    with pytest.raises(MeasurementError, match="sees no GPU"):
        NvmlMeter(FakeNvml(clock, ()))
    meter = NvmlMeter(FakeNvml(clock, (70.0,)))
    clock.work(10**9)
    meter.start()
    clock.now_ns = 0
    with pytest.raises(MeasurementError, match="ran backwards"):
        meter.stop()


def test_old_gpu_leaves_the_others_their_counters(clock: FakeClock) -> None:
    """Of three GPUs the one from before Volta and the lost one are left out, and the scope names them."""
    faults = {"energy": {0: pynvml.NVML_ERROR_NOT_SUPPORTED}, "handle": {2: pynvml.NVML_ERROR_GPU_IS_LOST}}
    meter = NvmlMeter(FakeNvml(clock, (500.0, 70.0, 500.0), **faults))
    meter.start()
    clock.work(10**10)
    scope = "1 GPU, whole board; without GPU 0 (Not Supported), GPU 2 (GPU is lost)"
    assert meter.stop() == [Component("gpu", 700.0, "nvml", "measured", scope, 0.1)]


def refuse() -> WattMeter:
    raise MeasurementError("RAPL: no counters", "buy some")


def test_stack_takes_the_first_meter_of_each_component(clock: FakeClock) -> None:
    """The processor from the counter, memory from the model below it; what refused is kept with its reason."""
    stack = open_meters(
        {"emi": refuse, "nvml": lambda: NvmlMeter(FakeNvml(clock, (5.0,))), "watt": lambda: WattMeter(clock, 1.0),
         "worse": lambda: WattMeter(clock, 9.0)}
    )  # fmt: skip
    parts = measure_energy(lambda: clock.work(10**10), stack, clock=clock).components
    assert {part.name: (part.source, part.energy_j) for part in parts} == {
        "gpu": ("nvml", 50.0), "cpu": ("rapl", 10.0), "ram": ("ram_constant", 20.0),
    }  # fmt: skip
    assert stack.refusals["emi"].remedy == "buy some"


def test_stack_without_any_meter_fails_with_the_last_reason() -> None:
    """Nothing that works is an error, not a meter that reads nothing; every reason is kept."""
    stack = open_meters({"rapl": refuse, "nvml": refuse})
    assert set(stack.refusals) == {"rapl", "nvml"}
    with pytest.raises(MeasurementError, match="no counters"):
        stack.start()


class LoggedMeter(WattMeter):
    """Writes down what is done to it, and fails where it is told to."""

    def __init__(self, clock: FakeClock, name: str, log: list[str], fails_at: str = "") -> None:
        super().__init__(clock, 1.0)
        self.name, self.log, self.fails_at = name, log, fails_at

    def start(self) -> None:
        self._do("start")
        super().start()

    def stop(self) -> list[Component]:
        self._do("stop")
        return super().stop()

    def _do(self, what: str) -> None:
        self.log.append(f"{what} {self.name}")
        if self.fails_at == what:
            raise MeasurementError(f"{self.name} is dead", "buy another")


def test_best_rung_starts_last_and_stops_first(clock: FakeClock) -> None:
    """What the others cost lies outside of the best one's window, at both ends."""
    log: list[str] = []
    stack = MeterStack([LoggedMeter(clock, "best", log), LoggedMeter(clock, "worse", log)])
    stack.start()
    stack.stop()
    assert log == ["start worse", "start best", "stop best", "stop worse"]


def test_rung_that_dies_leaves_no_window_open(clock: FakeClock) -> None:
    """When the best one fails at its end the others are stopped all the same, and the failure is told."""
    log: list[str] = []
    meters = [LoggedMeter(clock, "best", log, fails_at="stop"), LoggedMeter(clock, "worse", log)]
    stack = MeterStack(meters)
    stack.start()
    with pytest.raises(MeasurementError, match="best is dead"):
        stack.stop()
    assert not meters[1].is_running


def test_stack_that_does_not_start_leaves_no_window_open(clock: FakeClock) -> None:
    """What was started before the meter that failed is stopped again."""
    log: list[str] = []
    meters = [LoggedMeter(clock, "best", log, fails_at="start"), LoggedMeter(clock, "worse", log)]
    with pytest.raises(MeasurementError, match="best is dead"):
        MeterStack(meters).start()
    assert log == ["start worse", "start best", "stop worse"]


def test_idle_machine_is_read_once_and_not_for_long(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look is the first one's answer, and a window of a minute costs ten seconds of sleep."""
    slept: list[float] = []

    def sleep(_: object, *, window_s: float) -> Idle:
        slept.append(window_s)
        return Idle({}, window_s)

    monkeypatch.setattr("dlmi_bench.instruments.meters.measure_idle", sleep)
    monkeypatch.setattr("dlmi_bench.instruments.meters.energy_meter", lambda: WattMeter(clock, 1.0))
    idle_baseline.cache_clear()
    assert [idle_baseline(window_s).window_s for window_s in (3.0, 3.0, 60.0)] == [3.0, 3.0, 10.0]
    assert slept == [3.0, 10.0]
    idle_baseline.cache_clear()


@pytest.mark.parametrize(
    ("mode", "source", "kind", "window_s"),
    [
        ("intel_rapl", "rapl", "measured", 3.0),
        ("windows_emi", "windows_emi", "measured", 3.0),
        ("intel_power_gadget", "intel_power_gadget", "measured", 3.0),
        ("cpu_load", "cpu_load_model", "modelled", 1.0),
        ("constant", "tdp_constant", "modelled", 1.0),
        ("novel", "unknown:CPU:novel", "modelled", 3.0),
    ],
)
def test_every_mode_of_the_tracker_is_named(mode: str, source: str, kind: str, window_s: float) -> None:
    """CodeCarbon's mode becomes source and kind; a model is never measured, what nobody knows counts as modelled."""
    part = type("CPU", (SimpleNamespace,), {})(_mode=mode)
    read = read_component(part, SimpleNamespace(cpu_energy=1.0))
    assert (read.name, read.source, read.kind, read.shortest_window_s) == ("cpu", source, kind, window_s)
    assert read.energy_j == 3.6e6


def test_memory_of_the_tracker_is_modelled() -> None:
    """Its memory is a constant times time, whatever a memory does; a novel part counts as modelled too."""
    memory, novel = type("RAM", (SimpleNamespace,), {})(), type("NPU", (SimpleNamespace,), {})()
    data = SimpleNamespace(ram_energy=1.0, npu_energy=1.0)
    assert read_component(memory, data) == Component("ram", 3.6e6, "ram_constant", "modelled")
    assert read_component(novel, data).kind == "modelled"


def test_parts_of_a_chip_are_told_apart() -> None:
    """Apple's GPU is not a second processor, and a GPU of AMD is not read by NVML."""
    chip = type("AppleSiliconChip", (SimpleNamespace,), {})(chip_part="GPU")
    assert read_component(chip, SimpleNamespace(gpu_energy=1.0)).name == "gpu"
    device = type("AMDGPUDevice", (), {})()
    gpu = type("GPU", (SimpleNamespace,), {})(devices=SimpleNamespace(devices=[device]))
    assert read_component(gpu, SimpleNamespace(gpu_energy=1.0)).source == "amdsmi"


def test_codecarbon_reads_and_names_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real tracker gives positive joules from a named source, prints nothing and leaves no file behind."""
    monkeypatch.chdir(tmp_path)
    meter = CodeCarbonMeter()
    sample = measure_energy(lambda: sum(range(10_000)), meter, min_window_s=0.3)
    assert all(part.energy_j > 0 for part in sample.components if part.name == "cpu")
    assert {part.name for part in sample.components} >= {"cpu", "ram"}
    known = {source.name for source in CPU_SOURCES.values()} | {"ram_constant", "nvml", "apple_powermetrics"}
    assert {part.source for part in sample.components} <= known
    assert list(tmp_path.iterdir()) == []


def list_parameters() -> set[str]:
    """Of CodeCarbon's constructors."""
    from codecarbon import OfflineEmissionsTracker

    makers = (make for kind in OfflineEmissionsTracker.__mro__ if (make := vars(kind).get("__init__")))
    found = {name: p for make in makers for name, p in inspect.signature(make).parameters.items()}
    return {name for name, p in found.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} - {"self"}


def test_every_parameter_of_the_tracker_is_set() -> None:
    """What a new version of CodeCarbon adds is noticed; only old names of what is set are left out."""
    old = {
        "co2_signal_api_token",
        *(f"save_to_{place}" for place in ("file", "api", "logger", "prometheus", "logfire")),
    }
    assert list_parameters() - old == set(SETTINGS)
    assert SETTINGS["country_iso_code"] == "CHE"


def test_codecarbon_is_silent_and_ignores_the_users_settings(tmp_path: Path) -> None:
    """Every parameter set otherwise in files at home, at work and in variables: nothing changes, nobody is called."""
    hostile = dict.fromkeys(list_parameters(), "1000") | {"output_methods": "csv,api"}
    lines = ["[codecarbon]", *(f"{name} = {value}" for name, value in hostile.items())]
    for folder in ("home", "work"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".codecarbon.config").write_text("\n".join(lines))
    variables = {f"CODECARBON_{name.upper()}": value for name, value in hostile.items()}
    program = (
        "import json, socket\n"
        "socket.socket.connect = lambda *_: print('called out')\n"
        "from dlmi_bench.instruments.meters.tracker import SETTINGS, CodeCarbonMeter\n"
        "meter = CodeCarbonMeter()\n"
        "meter.start(); sum(range(10**6)); meter.stop()\n"
        "print(json.dumps({name: getattr(meter._tracker, f'_{name}') for name in SETTINGS}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path / "work",
        env=os.environ | variables | {"HOME": str(tmp_path / "home"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout) | {"force_mode_cpu_load": False}  # which depends on the machine
    assert (seen, done.stderr) == (SETTINGS, "")
    assert [path.name for path in (tmp_path / "work").iterdir()] == [".codecarbon.config"]


def test_counter_that_our_reader_refused_is_not_read_by_the_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RAPL's files are there CodeCarbon models the processor all the same: our own reader knows them better."""
    monkeypatch.setattr("codecarbon.core.cpu.is_rapl_available", lambda: True)
    meter = CodeCarbonMeter()
    meter.start()
    assert {part.name: part.source for part in meter.stop()}["cpu"] == "cpu_load_model"


@pytest.mark.parametrize("at", ["start", "stop"])
def test_tracker_that_failed_is_not_used_again(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """What a driver raises is told in words, and the next window does not hold the energy of the failed one."""
    meter = CodeCarbonMeter()

    def read_power() -> float:
        sample = measure_energy(lambda: time.sleep(0.25), meter, min_window_s=0.0)
        return sum(part.energy_j for part in sample.components if part.name == "ram") / sample.window_s

    power_w = read_power()
    meter.start()
    monkeypatch.setattr(meter._tracker, f"{at}_task", lambda: 1 // 0)
    with pytest.raises(MeasurementError, match="division"):
        getattr(meter, at)()
    time.sleep(0.2)
    assert read_power() == pytest.approx(power_w, rel=0.5)


def test_dead_tracker_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """CodeCarbon swallows a misspelt parameter and starts nothing: the wrapper says so."""
    monkeypatch.setitem(SETTINGS, "contry_iso_code", "CHE")
    with pytest.raises(MeasurementError, match="did not start"):
        CodeCarbonMeter()
