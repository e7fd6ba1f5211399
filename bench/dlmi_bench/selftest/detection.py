"""Detection: instruments find what was planted and nothing else, in counts, leaks, parity, energy and curves."""

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dlmi_bench.instruments.energy import Meter, measure_energy
from dlmi_bench.instruments.memory import measure_peak_memory
from dlmi_bench.instruments.meters.rapl import RaplMeter
from dlmi_bench.jobs.parity import Answer, make_parity
from dlmi_bench.jobs.protocol import OnProgress, Request
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Mark, list_marks
from dlmi_bench.selftest.fakes import FakeClock, Powercap, WattMeter
from dlmi_bench.selftest.faulty_backend import FaultyRequest
from dlmi_bench.selftest.rows import Row, make_bias, make_share
from dlmi_bench.stats.intervals import compute_kaplan_meier
from dlmi_bench.units import format_share

N_NETS = 20
N_LEAKS = 10
N_NETWORKS = 10
N_ANSWERS = 1000
N_WINDOWS = 50
N_CURVES = 60

LEAK_BYTES, N_LEAKING = 2**20, 32  # each call keeps one MiB
LEAK_TOLERANCE = 0.1
OFFSET = 1e-2
ROUNDING = 1e-6  # of float32, as a share of the largest score
PACKAGE = {"intel-rapl:0": "package-0"}


def check_macs(n_nets: int = N_NETS) -> Iterator[Row]:
    """Random convolutional and fully connected nets, whose multiply-accumulates are known by hand."""
    from dlmi_bench.instruments.counts import measure_counts

    rng = np.random.default_rng(1)
    hits = []
    for _ in range(n_nets):
        network, shape, truth = _make_net(*rng.integers(2, 17, 4).tolist())
        counts = measure_counts(network, shape)
        hits.append(all(products.macs == truth for products in counts.products))
    yield make_share("detection", "multiply-accumulates of known nets, exact by each counter", hits, lowest=1.0)


def _make_net(n_channels: int, n_maps: int, side: int, n_classes: int) -> tuple[Any, tuple[int, ...], int]:
    """Convolution of 3 x 3, then a linear layer: maps x channels x 9 x area, and maps x area x classes."""
    from torch import nn

    area = side * side
    network = nn.Sequential(
        nn.Conv2d(n_channels, n_maps, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(n_maps * area, n_classes)
    )
    return network, (n_channels, side, side), n_maps * n_channels * 9 * area + n_maps * area * n_classes


def check_leaks(n_processes: int = N_LEAKS) -> Iterator[Row]:
    """Calls that keep one MiB each, and the same calls that give it back, in fresh processes."""
    added: dict[bool, list[int]] = {True: [], False: []}
    for index in range(n_processes):
        for is_leaking, found in added.items():
            with Worker(index) as worker:
                found.append(worker.ask(LeakRequest(is_leaking=is_leaking)))
    truth = LEAK_BYTES * N_LEAKING
    hits = [abs(found / truth - 1) < LEAK_TOLERANCE for found in added[True]]
    subject = f"leak of {N_LEAKING} x 1 MiB in peak memory, within {format_share(LEAK_TOLERANCE)}"
    yield make_share("detection", subject, hits, lowest=1.0)
    hits = [found < LEAK_TOLERANCE * truth for found in added[False]]
    yield make_share("detection", "no leak where each call gives its MiB back", hits, lowest=1.0)


class LeakRequest(Request[int]):
    """Make calls that keep one MiB each, or give it back; answer what they added to the peak [bytes]."""

    job = "dlmi_bench.selftest.detection:run_leak_job"
    is_leaking: bool


def run_leak_job(request: LeakRequest, _: OnProgress) -> int:
    """Make the calls and return what they added to the peak [bytes]."""
    kept: list[bytes] = []

    def work() -> None:
        for _ in range(N_LEAKING):
            block = b"x" * LEAK_BYTES
            if request.is_leaking:
                kept.append(block)

    return measure_peak_memory(work).added_bytes


def check_backends(n_networks: int = N_NETWORKS) -> Iterator[Row]:
    """A float32 backend that is off by 1e-2, and one that is not, judged and timed like any other."""
    with Worker() as worker:
        for is_lying, name in ((True, f"backend off by {OFFSET:g}"), (False, "honest backend")):
            found = worker.ask(FaultyRequest(is_lying=is_lying, seeds=tuple(range(n_networks))))
            for how, key in (
                ("is called INVALID", "is_invalid"),
                ("is refused when timed as the honest one", "is_refused"),
            ):
                hits, share = [getattr(answer, key) for answer in found], float(is_lying)
                yield make_share("detection", f"{name} {how}", hits, lowest=share, highest=share)


def check_tolerance(n_answers: int = N_ANSWERS) -> Iterator[Row]:
    """Scores that are off by 1e-2, and ones that are rounded; the largest lie between 1 and 30."""
    rng = np.random.default_rng(2)
    found: dict[str, list[bool]] = {"off": [], "rounding": []}
    for _ in range(n_answers):
        reference = rng.normal(0, 1, (200, 10)) * rng.uniform(0.3, 8)
        noise = rng.normal(0, ROUNDING * np.abs(reference).max(), reference.shape)
        for name, scores in (("off", reference + OFFSET), ("rounding", reference + noise)):
            answer = Answer("onnxruntime", np.empty(0, np.float32), scores.astype(np.float32), {})
            figures = make_parity(answer, reference, reference.astype(np.float32))
            found[name].append(Mark.INVALID in list_marks(*figures))
    yield make_share("detection", f"scores of 1 to 30 off by {OFFSET:g} are INVALID", found["off"], lowest=1.0)
    subject = "scores rounded like float32 are called INVALID"
    yield make_share("detection", subject, found["rounding"], lowest=0.0, highest=0.0)


def check_energy(n_windows: int = N_WINDOWS) -> Iterator[Row]:
    """Work of known length on a meter of 1 W, and on a counter in microjoules that gains 1 J a second."""
    rng = np.random.default_rng(3)
    lengths_s = rng.uniform(0.01, 20.0, n_windows).tolist()
    told = FakeClock()
    read = [_read_energy(told, WattMeter(told, 1.0), length_s) for length_s in lengths_s]
    ratios = [energy_j / length_s for energy_j, length_s in zip(read, lengths_s, strict=True)]
    yield make_bias("energy of work on a meter of 1 W", ratios, 1.0, most=1e-6)
    with TemporaryDirectory() as folder:
        tree, clock = Powercap(Path(folder), PACKAGE), FakeClock()
        meter = RaplMeter(tree.root, sleep=lambda _: tree.spend(package_0=0.1), clock=lambda: clock.wall_ns() / 1e9)
        read = [_read_energy(clock, meter, length_s, tree) for length_s in lengths_s]
    ratios = [energy_j / length_s for energy_j, length_s in zip(read, lengths_s, strict=True)]
    yield make_bias("energy of work on a RAPL counter of 1 W", ratios, 1.0, most=1e-4)


def _read_energy(clock: FakeClock, meter: Meter, length_s: float, tree: Powercap | None = None) -> float:
    """Read the energy of one repeat [J]; the true value is `length_s`."""

    def work() -> None:
        clock.work(round(length_s * 1e9))
        if tree:
            tree.spend(package_0=length_s)

    return measure_energy(work, meter, clock=clock).components[0].energy_j


def check_time_to_target(n_sessions: int = N_ANSWERS) -> Iterator[Row]:
    """Kaplan-Meier medians of 20 runs of median 100 s, whose observation ends at random from 50 to 200 s.

    A third is censored, most of them before half of the runs got there: their median as infinite times reads 10 % late,
    the median of those that got there 4 % early.
    """
    rng = np.random.default_rng(5)
    medians = []
    for _ in range(n_sessions):
        times_s, ends_s = 100.0 * np.exp(rng.normal(0, 0.2, 20)), rng.uniform(50.0, 200.0, 20)
        found = compute_kaplan_meier(np.minimum(times_s, ends_s).tolist(), (times_s <= ends_s).tolist()).median
        medians.append(math.inf if found is None else found)
    yield make_bias("median time to target of 20 runs, a third censored at random", medians, 100.0, most=0.01)


def check_curves(n_curves: int = N_CURVES) -> Iterator[Row]:
    """Learners that converge at a known epoch, stall below the target, or diverge to no number."""
    from dlmi_bench.selftest.learners import EPOCH_S, run_script

    rng = np.random.default_rng(4)
    hits: dict[str, list[bool]] = {"converges": [], "stalls": [], "diverges": []}
    for index in range(n_curves):
        kind = list(hits)[index % 3]
        epoch = int(rng.integers(2, 9))
        shares = rng.uniform(0.1, 0.9, 10)
        ends = {"converges": rng.uniform(0.95, 1.0), "stalls": 0.9, "diverges": math.nan}
        shares[epoch:] = ends[kind]
        run = run_script(shares.tolist())
        truth = EPOCH_S * (epoch + 1) if kind == "converges" else None
        hits[kind].append(run.time_to_target_s == truth and run.training_s == 10 * EPOCH_S)
    yield make_share("detection", "time to target of a curve that converges, exact", hits["converges"], lowest=1.0)
    yield make_share("detection", "curve that stalls is censored at its end", hits["stalls"], lowest=1.0)
    yield make_share("detection", "curve that diverges is censored at its end", hits["diverges"], lowest=1.0)
