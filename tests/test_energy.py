"""Energy against a meter of known slope: windows, idle machine, gross and net."""

import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import Component, Idle, measure_energy, measure_idle
from dlmi_bench.instruments.energy_figures import join_processes, make_energy_figures, make_target_figures
from dlmi_bench.instruments.host.activity import CpuUse
from dlmi_bench.jobs import training
from dlmi_bench.jobs.protocol import TrainRequest
from dlmi_bench.jobs.training_figures import make_training_figures
from dlmi_bench.records import Cell, Figure, Mark, Note
from dlmi_bench.selftest.learners import run_script
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.training.loop import train
from stand_ins import FakeClock, WattMeter

IDLE = Idle({("cpu", "rapl"): 0.25, ("ram", "ram_constant"): 2.0}, window_s=3.0, other_cpus=0.1)


def find(figures: list[Figure], component: str, *, is_net: bool) -> Figure:
    wanted = {"component": component, "idle_subtracted": is_net}
    return next(f for f in figures if wanted.items() <= f.conditions.items())


def test_known_slope_is_read_exactly(clock: FakeClock) -> None:
    """A 1 W meter over work of 0.3 s reads 0.3 J a repeat, from a window that holds enough of them."""
    sample = measure_energy(lambda: clock.work(300_000_000), WattMeter(clock, 1.0), min_window_s=5.0, clock=clock)
    assert sample.n_repeats == 17
    assert (sample.window_s, sample.work_s) == (pytest.approx(5.1), pytest.approx(0.3))
    assert sample.components[0].energy_j == pytest.approx(0.3)


def test_long_work_runs_once(clock: FakeClock) -> None:
    """Work that fills the window by itself is not repeated."""
    sample = measure_energy(lambda: clock.work(9_000_000_000), WattMeter(clock, 2.0), min_window_s=5.0, clock=clock)
    assert (sample.n_repeats, sample.components[0].energy_j) == (1, pytest.approx(18.0))


def test_components_stay_apart(clock: FakeClock) -> None:
    """Measured and modelled joules come as figures of their own, each with source and scope; there is no sum."""
    sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 1.0), clock=clock)
    figures = make_energy_figures("training_energy_j", sample)
    gross = [f for f in figures if not f.conditions["idle_subtracted"]]
    assert [(f.conditions["component"], f.kind, f.source, f.conditions["scope"], f.value) for f in gross] == [
        ("cpu", "measured", "rapl", "package-0", pytest.approx(10.0)),
        ("ram", "modelled", "ram_constant", "machine", pytest.approx(20.0)),
    ]


def test_net_is_gross_less_the_idle_machine(clock: FakeClock) -> None:
    """1 W for 0.3 s is 0.3 J gross; 0.25 W of idle machine leave 0.225 J net. A constant has none."""
    work = WattMeter(clock, 1.0)
    sample = measure_energy(lambda: clock.work(300_000_000), work, min_window_s=5.0, idle=IDLE, clock=clock)
    figures = make_energy_figures("training_energy_j", sample)
    assert find(figures, "cpu", is_net=False).value == pytest.approx(0.3)
    net = find(figures, "cpu", is_net=True)
    assert net.value == pytest.approx(0.225)
    assert "net of 0.25 W idle, from 3.0 s of sleep, neighbours on 0.10 CPUs" in net.method
    assert find(figures, "ram", is_net=True).reason == "a constant is the same at rest"


def test_times_beside_busy_neighbours_are_marked(clock: FakeClock) -> None:
    """Durations of a training whose window others used carry the mark of its energy; on a quiet machine none does."""
    run, task = run_script([0.5, 1.0], clock), get_task("usps")
    sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 1.0), idle=IDLE, clock=clock)
    for others, marks in ((19.0, {Mark.NOISY}), (0.0, set())):
        busy = replace(sample, use=CpuUse(own=1.0, others=others))
        figures = {f.name: f for f in make_training_figures(run, busy, task, {})}
        for name in ("training_s", "evaluation_s", "time_to_target_s"):
            assert {note.mark for note in figures[name].notes} == marks
        assert not figures["n_epochs"].notes


def test_net_below_zero_says_so(clock: FakeClock) -> None:
    """A neighbour that idled away after the baseline makes the net negative: kept, with a note, never clipped."""
    sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 0.2), idle=IDLE, clock=clock)
    net = find(make_energy_figures("training_energy_j", sample), "cpu", is_net=True)
    assert net.value == pytest.approx(-0.5)
    assert any("too little to be seen" in note.text for note in net.notes)  # a busy machine adds a note of its own


def test_net_needs_a_baseline_of_the_same_source(clock: FakeClock) -> None:
    """Without an idle window, or with one from another meter, net is not available, with the reason."""
    for idle in (None, Idle({("cpu", "cpu_load_model"): 1.0}, 3.0)):
        sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 1.0), idle=idle, clock=clock)
        net = find(make_energy_figures("training_energy_j", sample), "cpu", is_net=True)
        assert (net.value, net.reason) == (None, "the idle machine was not measured")


def test_busy_machine_has_no_idle_baseline(clock: FakeClock) -> None:
    """What neighbours drew while this process slept is not what an idle machine draws: no net, with the share."""
    idle = Idle({("cpu", "rapl"): 0.25}, 3.0, other_cpus=0.9)
    sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 1.0), idle=idle, clock=clock)
    net = find(make_energy_figures("training_energy_j", sample), "cpu", is_net=True)
    assert (net.value, net.reason) == (None, "the machine did not idle: neighbours kept 0.9 CPUs busy meanwhile")


def test_short_look_at_the_idle_machine_gives_no_net(clock: FakeClock) -> None:
    """A long training is not made net by what a glance at the idle machine has read."""
    sample = measure_energy(
        lambda: clock.work(10**10), WattMeter(clock, 1.0), idle=replace(IDLE, window_s=0.2), clock=clock
    )
    net = find(make_energy_figures("training_energy_j", sample), "cpu", is_net=True)
    assert (net.value, net.reason) == (None, "the idle machine was looked at for 0.2 s only")


def test_window_too_short_for_its_meter_gives_no_figure(clock: FakeClock) -> None:
    """Three ticks and 1 s at least: what is too short is said for each component, gross and net, with what it needs."""
    meter = WattMeter(clock, 1.0)
    short = measure_energy(lambda: clock.work(9 * 10**8), meter, min_window_s=0.5, idle=IDLE, clock=clock)
    reason = "too short: a window of 0.9 s, rapl needs 1 s"
    figures = make_energy_figures("training_energy_j", short, batch=1)
    assert [(find(figures, "cpu", is_net=is_net).value, find(figures, "cpu", is_net=is_net).reason)
            for is_net in (False, True)] == [(None, reason)] * 2  # fmt: skip
    assert {f.conditions["batch"] for f in figures} == {1}
    part = Component("gpu", 1.0, "amdsmi", "measured", tick_s=1.0)
    long = replace(short, components=(part,), window_s=2.9)
    assert long.find_shortage(part) == "too short: a window of 2.9 s, amdsmi needs 3 s"
    assert replace(long, window_s=3.0).find_shortage(part) == ""


def test_neighbours_in_the_window_are_told(clock: FakeClock) -> None:
    """Beyond a tenth of the CPU time, gross and net say how much of it was others'; a constant does not mind."""
    sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 1.0), idle=IDLE, clock=clock)
    loud = make_energy_figures("training_energy_j", replace(sample, use=CpuUse(own=1.0, others=1.0)))
    note = "noisy: 50 % of the CPU time in the window was used by other processes"
    assert [find(loud, "cpu", is_net=is_net).notes for is_net in (False, True)] == [(Note.parse(note),)] * 2
    assert find(loud, "ram", is_net=False).notes == ()
    quiet = make_energy_figures("training_energy_j", replace(sample, use=CpuUse(own=1.0, others=0.1)))
    assert find(quiet, "cpu", is_net=False).notes == ()


def test_neighbours_are_watched_during_the_work(clock: FakeClock) -> None:
    """What this process does itself is its own: the window's use of the CPUs is there and mostly not others'."""
    meter = WattMeter(clock, 1.0)

    def work() -> None:
        clock.work(10**10)
        end_s = time.process_time() + 0.2
        while time.process_time() < end_s:
            pass

    use = measure_energy(work, meter, clock=clock).use
    assert use is not None
    assert use.own > 0.1


def test_idle_power_is_energy_over_time(clock: FakeClock) -> None:
    """A meter of 3 W reads 3 W, however long it was looked at; the work between is sleep."""
    for window_s in (0.5, 7.0):
        idle = measure_idle(
            WattMeter(clock, 3.0), window_s=window_s, sleep=lambda s: clock.wait(round(s * 1e9)), clock=clock
        )
        assert (idle.power_w["cpu", "rapl"], idle.window_s) == (pytest.approx(3.0), window_s)


def test_scaled_sample_keeps_its_net(clock: FakeClock) -> None:
    """The energy of 1 000 calls from blocks of 50 is 20 times a block's, gross and net."""
    sample = measure_energy(lambda: clock.work(10**8), WattMeter(clock, 1.0), idle=IDLE, clock=clock).scale(50, 1000)
    part = sample.components[0]
    assert (part.energy_j, sample.compute_net_j(part)) == (pytest.approx(2.0), pytest.approx(1.5))
    assert sample.n_repeats == 30


@pytest.mark.parametrize(
    ("n_calls", "said"), [(800, "30 repeats of 800 calls, scaled to 1 000; "), (1000, "30 repeats of 1 000 calls; ")]
)
def test_scaled_figures_say_what_was_done(clock: FakeClock, n_calls: int, said: str) -> None:
    """Gross and net name the calls of a repeat: so many joules times the repeats are not those of the window."""
    sample = measure_energy(lambda: clock.work(10**8), WattMeter(clock, 1.0), idle=IDLE, clock=clock)
    figures = make_energy_figures("inference_energy_j", sample.scale(n_calls, 1000))
    for is_net in (False, True):
        figure = find(figures, "cpu", is_net=is_net)
        assert (figure.n, said in figure.method) == (30, True), figure.method


def test_energy_to_target_is_derived_by_the_share_of_time(clock: FakeClock) -> None:
    """8 J of a training of 10 s that got there after 2.5 s: 2 J, derived, with the source's own kind kept in words."""
    sample = measure_energy(lambda: clock.work(8 * 10**9), WattMeter(clock, 1.0), clock=clock)
    figures = make_target_figures(make_energy_figures("training_energy_j", sample), 2.5, 10.0)
    gross = find(figures, "ram", is_net=False)
    assert (gross.name, gross.value, gross.kind) == ("energy_to_target_j", pytest.approx(4.0), "derived")
    assert gross.source == "ram_constant (modelled)"


def test_censored_training_has_no_energy_to_target(clock: FakeClock) -> None:
    """What never got there is not available, not free."""
    sample = measure_energy(lambda: clock.work(10**10), WattMeter(clock, 1.0), idle=IDLE, clock=clock)
    figures = make_target_figures(make_energy_figures("training_energy_j", sample), None, 10.0)
    assert {(f.value, f.reason) for f in figures if f.conditions["component"] == "cpu"} == {
        (None, "censored: target not reached")
    }
    assert find(figures, "ram", is_net=True).reason == "a constant is the same at rest"


def test_meter_that_reads_nothing_is_an_error(clock: FakeClock) -> None:
    """0 J over a window is a dead meter, not a frugal model, and a model beside it does not hide that."""
    with pytest.raises(MeasurementError, match="rapl read 0 J"):
        measure_energy(lambda: clock.work(10**10), WattMeter(clock, 0.0, ram_w=20.0), clock=clock)


def test_failing_work_closes_the_window(clock: FakeClock) -> None:
    """After work that raised, the meter is stopped: the next window does not hold the failed one's energy."""
    meter = WattMeter(clock, 1.0)
    with pytest.raises(ZeroDivisionError):
        measure_energy(lambda: clock.work(1 // 0), meter, clock=clock)
    assert meter.is_running is False


class DyingMeter(WattMeter):
    """Starts and dies, or does not even start."""

    def __init__(self, clock: FakeClock, *, at_start: bool = False) -> None:
        super().__init__(clock, 1.0)
        self.at_start = at_start

    def start(self) -> None:
        if self.at_start:
            raise MeasurementError("the meter is dead", "buy another")
        super().start()

    def stop(self) -> list[Component]:
        raise MeasurementError("the meter is dead", "buy another")


def test_failing_work_is_told_before_the_failing_meter(clock: FakeClock) -> None:
    """When both fail, why the work failed is what counts."""
    with pytest.raises(ZeroDivisionError):
        measure_energy(lambda: clock.work(1 // 0), DyingMeter(clock), clock=clock)


@pytest.mark.parametrize("at_start", [True, False])
def test_training_outlives_its_meter(clock: FakeClock, monkeypatch: pytest.MonkeyPatch, at_start: bool) -> None:
    """A meter that dies, at the start or at the end, leaves one whole training, and figures that say why."""
    monkeypatch.setattr(training, "energy_meter", lambda: DyingMeter(clock, at_start=at_start))
    monkeypatch.setattr(training, "idle_baseline", lambda _: IDLE)
    task, cell = get_task("usps"), Cell(kind="train", task="usps", model="softmax")
    splits = task.load().split(task.n_validation)
    once = partial(train, MODELS["softmax"].build, splits, task, Recipe(n_epochs=1))
    request = TrainRequest(cell=cell, out="", energy_window_s=0.0, backends={}, n_pictured=0)
    run, energy, is_reproducible = training._train(once, request, lambda *_: None)
    assert (run.n_epochs, is_reproducible) == (1, None)
    figures = [f for f in make_training_figures(run, energy, task, {}) if f.name.endswith("_j")]
    assert {(f.name, f.value, f.reason) for f in figures} == {
        ("training_energy_j", None, "the meter is dead"), ("energy_to_target_j", None, "the meter is dead"),
    }  # fmt: skip
    assert {f.conditions["idle_subtracted"] for f in figures} == {False, True}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"source": "rapl"}, ""),
        ({"source": "cpu_load_model", "kind": "modelled"}, "another process"),
        ({"conditions": {"component": "gpu"}}, "another process"),
    ],
)
def test_processes_are_joined_where_their_meter_is_one(second: dict[str, Any], reason: str) -> None:
    """3 and 5 J of one counter are 4 [3, 5] J; joules of a model, or of another part, join nothing measured."""
    first = Figure(name="e", value=3, kind="measured", source="rapl", conditions={"component": "cpu"})
    other = Figure.model_validate(first.model_dump() | {"value": 5} | second)
    (joined,) = join_processes([[first], [other]])
    assert (joined.value, joined.lo, joined.hi) == ((None, None, None) if reason else (4, 3, 5))
    assert reason in joined.reason
