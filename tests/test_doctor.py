"""The doctor's findings on machines of known faults, and the noise it measures."""

import json
import math
import random
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments import doctor
from dlmi_bench.instruments.doctor import MODELS, SUITE_BYTES, Finding, Look, examine
from dlmi_bench.instruments.doctor_text import format_finding, format_noise
from dlmi_bench.instruments.energy import Component, Idle, Meter, measure_idle
from dlmi_bench.instruments.host.facts import Fact
from dlmi_bench.instruments.host.neighbours import Neighbours
from dlmi_bench.jobs.noise import SIZES, make_model
from dlmi_bench.jobs.protocol import NoiseRequest
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.stats.resolution import Noise, compute_noise
from stand_ins import Command, FakeClock


class Dead:
    """A meter that opens and does not start."""

    def __init__(self, error: MeasurementError) -> None:
        self.error = error

    def start(self) -> None:
        raise self.error

    def stop(self) -> list[Component]:
        raise self.error


class Fixed:
    """Reads the same over every window."""

    def __init__(self, parts: list[Component]) -> None:
        self.parts = parts

    def start(self) -> None: ...

    def stop(self) -> list[Component]:
        return self.parts


GOOD = Look(
    facts={
        "affinity": Fact([0, 1]), "governor": Fact("performance"), "is_turbo": Fact(False), "is_smt": Fact(False),
        "hypervisor": Fact("none"), "container": Fact("none"), "cpu_limit": Fact(None, "no limit is set"),
        "gpus": Fact([{"name": "H100"}]), "memory_limit_bytes": Fact(None, "no limit is set"),
        "counters": Fact("cpu"), "perf_event_paranoid": Fact("2"),
    },
    neighbours=Neighbours(pressure=0.0, steal=0.0),
    idle=Idle({("cpu", "rapl"): 35.0, ("ram", "rapl"): 6.0, ("gpu", "nvml"): 70.0}, 1.0),
    refusals={},
    can_reset_peak=True,
)  # fmt: skip


def look(**facts: Fact) -> Look:
    return replace(GOOD, facts={**GOOD.facts, **facts})


def find(seen: Look, topic: str) -> Finding:
    return next(finding for finding in reversed(examine(seen)) if finding.topic == topic)


def test_good_machine_has_nothing_to_mend() -> None:
    """Bare metal, fixed clock, quiet, counters readable: yes to everything, and every meter says its power."""
    findings = examine(GOOD)
    assert {finding.can for finding in findings} == {"yes"}
    assert "measured by rapl, 35.0 W now" in find(GOOD, "energy, processor").says


@pytest.mark.parametrize(
    ("seen", "topic", "can", "words"),
    [
        (look(governor=Fact("powersave")), "clock rate", "partly", "cpupower frequency-set -g performance"),
        (look(is_turbo=Fact(True)), "clock rate", "partly", "no_turbo"),
        (look(governor=Fact(None, "hidden")), "clock rate", "partly", "governor not shown"),
        (look(is_smt=Fact(True)), "cores", "partly", "smt/control"),
        (look(affinity=Fact(None, "hidden")), "latency", "partly", "cannot be pinned"),
        (look(cpu_limit=Fact(0.5)), "cpu limit", "partly", "0.5 CPUs"),
        (look(hypervisor=Fact("KVM")), "absolute figures", "partly", "KVM"),
        (look(counters=Fact(None, "hidden")), "hardware counters", "no", "no unit"),
        (look(perf_event_paranoid=Fact("4")), "hardware counters", "partly", "perf_event_paranoid=2"),
        (look(memory_limit_bytes=Fact(2**30)), "memory limit", "partly", "1.0 GiB, the default suite takes about 3.0"),
        (look(gpus=Fact(None, "NVML: no driver")), "GPU", "no", "no driver"),
        (look(gpus=Fact([{"name": "H100"}, {"name": None}])), "GPU", "partly", "H100, one that does not answer"),
        (replace(GOOD, neighbours=Neighbours(0.3, 0.0)), "neighbours", "partly", "30 % of the time"),
        (replace(GOOD, neighbours=Neighbours(None, None)), "neighbours", "partly", "psi=1"),
        (replace(GOOD, neighbours=Neighbours(0.0, 0.2)), "neighbours", "partly", "20 % of the CPU time"),
        (replace(GOOD, can_reset_peak=False), "peak memory", "no", "not writable"),
    ],
)
def test_every_fault_is_named_with_its_remedy(seen: Look, topic: str, can: str, words: str) -> None:
    """One thing wrong gives one finding that says so, in words, with something to do."""
    finding = find(seen, topic)
    assert finding.can == can
    assert words in f"{finding.says} {finding.remedy}"
    assert finding.remedy
    assert sum(f.can != "yes" for f in examine(seen)) == 1


def test_virtual_machine_may_have_counters() -> None:
    """Whether cycles can be counted is read from the kernel and not taken from there being a hypervisor."""
    finding = find(look(hypervisor=Fact("KVM")), "hardware counters")
    assert (finding.can, finding.says) == ("yes", "cpu, for perf and the like")


def test_limit_that_suffices_and_an_unknown_container_are_no_finding() -> None:
    """Exactly the memory of the suite is enough; a container that cannot be told is not called one."""
    topics = {f.topic for f in examine(look(memory_limit_bytes=Fact(SUITE_BYTES), container=Fact(None, "hidden")))}
    assert not topics & {"memory limit", "container"}
    assert "container" in {f.topic for f in examine(look(container=Fact("docker")))}


def test_modelled_energy_is_a_no() -> None:
    """Without a counter the answer is no, with why, what stands in for it, and the command that opens the counter."""
    refusal = MeasurementError("RAPL: energy_uj: only root may read it", "sudo chmod a+r energy_uj")
    idle = Idle({("cpu", "cpu_load_model"): 0.8, ("ram", "ram_constant"): 20.0}, 1.0, modelled=frozenset(MODELS))
    seen = replace(GOOD, idle=idle, refusals={"rapl": refusal, "nvml": MeasurementError("NVML: none", "get one")})
    finding = find(seen, "energy, processor")
    assert (finding.can, finding.remedy) == ("no", "sudo chmod a+r energy_uj")
    assert "only root may read it" in finding.says
    assert "Modelled instead" in finding.says
    assert find(seen, "energy, GPU").remedy == "get one"
    assert find(replace(seen, idle=None), "energy, memory").can == "no"


def test_source_that_nobody_knows_is_no_measurement(clock: FakeClock) -> None:
    """What the tracker reads by a mode or from a device that is new here counts as modelled, to the doctor too."""
    parts = [Component(name, 1.0, f"unknown:{name}:novel", "modelled") for name in ("cpu", "gpu")]
    idle = measure_idle(Fixed(parts), window_s=1.0, sleep=lambda s: clock.wait(round(s * 1e9)), clock=clock)
    for topic, name in (("energy, processor", "cpu"), ("energy, GPU", "gpu")):
        finding = find(replace(GOOD, idle=idle), topic)
        assert finding.can == "no"
        assert f"Modelled instead: unknown:{name}:novel, of which nothing is known here (1.0 W now)" in finding.says


@pytest.mark.parametrize("fails_at", ["opening", "reading"])
def test_every_meter_that_refuses_keeps_its_reason(monkeypatch: pytest.MonkeyPatch, fails_at: str) -> None:
    """Where no meter works the doctor still answers, and names for each part the counter's own reason and remedy."""

    def refuse(name: str) -> MeasurementError:
        return MeasurementError(f"{name}: closed", f"open {name}")

    def make(name: str) -> Meter:
        if fails_at == "reading" and name == "codecarbon":
            return Dead(refuse(name))
        raise refuse(name)

    names = ("rapl", "nvml", "codecarbon")
    monkeypatch.setattr("dlmi_bench.instruments.meters.METERS", {name: partial(make, name) for name in names})
    seen = doctor.look()
    assert seen.idle is None
    assert {name: error.remedy for name, error in seen.refusals.items()} == {name: f"open {name}" for name in names}
    for topic, name in (("energy, processor", "rapl"), ("energy, memory", "rapl"), ("energy, GPU", "nvml")):
        finding = find(seen, topic)
        assert (finding.can, finding.says, finding.remedy) == ("no", f"{name}: closed", f"open {name}")


def test_findings_fit_the_screen() -> None:
    """No line is longer than 80 columns, and no word is lost."""
    finding = Finding("topic", "no", "many words " * 30, "more words " * 30)
    text = format_finding(finding)
    assert max(map(len, text.splitlines())) <= 80
    assert text.split().count("words") == 60


def make_noise(paired_sd: float, between_sd: float, n: int = 400) -> Noise:
    generator = random.Random(1)
    paired = tuple(generator.gauss(0, paired_sd) for _ in range(n))
    return Noise(paired, tuple(generator.gauss(0, between_sd) for _ in range(n)), process_s=1.0)


def test_resolution_by_hand() -> None:
    """sd 1 % and ten processes: (t(.975, 9) + t(.8, 9)) 0.01 / sqrt(10) = (2.262 + 0.883) 0.00316 = 1.0 %."""
    noise = Noise((-0.01, 0.0, 0.01), (1.0, 1.1, 1.2), process_s=2.0)
    assert noise.compute_paired(20.0) == pytest.approx(math.expm1((2.2622 + 0.8834) * 0.01 / math.sqrt(10)), rel=1e-3)
    # Two groups of five: (t(.975, 8) + t(.8, 8)) 0.1 sqrt(2 / 5)
    assert noise.compute_between(20.0) == pytest.approx(math.expm1((2.3060 + 0.8889) * 0.1 * math.sqrt(0.4)), rel=1e-3)
    # sqrt(2 / chi2(.05, 2)) = sqrt(2 / 0.10259) times the spread
    worst = noise.compute_paired(20.0, is_worst=True)
    assert worst == pytest.approx(math.expm1(4.4154 * (2.2622 + 0.8834) * 0.01 / math.sqrt(10)), rel=1e-3)


def test_resolution_finds_what_it_promises() -> None:
    """Of 2 000 sessions of ten processes with a planted difference of that size, 80 % find it (+-3 points)."""
    from dlmi_bench.stats.intervals import compute_t_interval

    difference = math.log1p(make_noise(0.02, 0.1, n=20_000).compute_paired(10.0) or 0.0)
    generator = random.Random(2)
    sessions = ([generator.gauss(difference, 0.02) for _ in range(10)] for _ in range(2000))
    found = sum(compute_t_interval(session, 0.025)[0] > 0 for session in sessions)
    assert found / 2000 == pytest.approx(0.8, abs=0.03)


def test_too_short_a_time_resolves_nothing() -> None:
    """One process has no spread: not available, never 0."""
    assert make_noise(0.01, 0.1).compute_paired(1.5) is None
    assert make_noise(0.01, 0.1).compute_between(3.0) is None


def test_noise_of_rounds_by_hand() -> None:
    """The median ratio of each process, and the level that each process runs at."""
    noise = compute_noise([([2.0, 2.0, 4.0], [1.0, 1.0, 1.0]), ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])], process_s=1.5)
    assert noise.paired == pytest.approx((math.log(2), 0.0))
    assert noise.between == pytest.approx((math.log(2), 0.0))


def test_noise_is_measured_on_a_real_net() -> None:
    """The net has the stated sizes, both sides run, and a net against itself stays within a factor of two."""
    import onnx

    graph = onnx.load_from_string(make_model()).graph
    assert [tuple(w.dims) for w in graph.initializer] == list(pairwise(SIZES))
    with Worker() as worker:
        answer = worker.ask(NoiseRequest(n_rounds=10, order_seed=0, n_calls=0))
    noise = compute_noise([([*answer.a_s], [*answer.b_s])] * 2, 1.0)
    assert math.isfinite(noise.paired[0])
    text = format_noise(make_noise(0.004, 0.1))
    assert max(map(len, text.splitlines())) <= 80


def test_the_command_answers_in_words_and_in_json(command: Command) -> None:
    """Exit 0 although things are missing; the JSON holds the same findings and the machine."""
    done = command("doctor", "--quick")
    assert done.returncode == 0, done.stderr
    answer = command.json("doctor", "--quick")
    assert isinstance(answer, dict)
    assert answer["noise"] is None
    topics = [finding["topic"] for finding in answer["findings"]]
    assert all(f"{topic}: " in done.stdout for topic in topics)
    assert json.dumps(answer["environment"]["machine"])
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(command.folder.iterdir()) == []
