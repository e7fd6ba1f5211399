"""Findings and noise of the doctor, as text of 80 columns and as JSON."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict

from pydantic import JsonValue

from dlmi_bench.instruments.doctor import Finding
from dlmi_bench.stats.resolution import Noise
from dlmi_bench.units import format_percent, format_share

WIDTH = 80
DURATIONS_S = {"30 s": 30.0, "2 min": 120.0, "10 min": 600.0}


def format_machine(environment: Mapping[str, JsonValue]) -> str:
    """Processor, memory and system of an environment, and the commit that runs."""
    machine = environment["machine"]
    assert isinstance(machine, dict)
    memory = float(str(machine["memory_bytes"])) / 2**30
    cpus = f"{machine['n_cpus']} CPUs, {machine['n_cpus_allowed']} allowed"
    text = f"{machine['cpu']}, {cpus}, {memory:.0f} GiB, {machine['system']}; commit {environment['commit'] or 'none'}"
    return textwrap.fill(text, WIDTH) + "\n"


def format_finding(finding: Finding) -> str:
    """Finding as text, for instance `no      energy, processor: no counters in ...`, the remedy below it."""
    indent = " " * 8
    lines = textwrap.wrap(f"{finding.can:<8}{finding.topic}: {finding.says}", WIDTH, subsequent_indent=indent)
    if finding.remedy and finding.can != "yes":
        lines += textwrap.wrap(f"-> {finding.remedy}", WIDTH, initial_indent=indent, subsequent_indent=indent + "   ")
    return "\n".join(lines)


def describe_noise(noise: Noise) -> dict[str, object]:
    """Raw ratios, bias and smallest differences, for JSON."""
    return asdict(noise) | {"bias": noise.compute_bias(), "smallest_difference": compute_smallest(noise)}


def compute_smallest(noise: Noise) -> dict[str, dict[str, list[float | None]]]:
    """Smallest relative difference by duration: expected, and with the largest plausible spread."""
    return {
        name: {
            "paired": [noise.compute_paired(duration_s, is_worst=worst) for worst in (False, True)],
            "between": [noise.compute_between(duration_s, is_worst=worst) for worst in (False, True)],
        }
        for name, duration_s in DURATIONS_S.items()
    }


def format_noise(noise: Noise) -> str:
    """Noise of the machine as a table: how small a difference each duration resolves."""
    lo, hi = noise.compute_bias()
    n = len(noise.paired)
    lines = [
        f"{n} processes of {noise.process_s:.1f} s. A net differs from itself by "
        f"{format_percent(lo, 2)} to {format_share(hi, 2)}",
        "(95 % interval). Smallest difference of latency that 8 of 10 sessions detect, at",
        f"a level of 5 %; in brackets with the largest plausible spread of {n} processes:",
        f"{'in':<8}{'both in each process':<28}{'each in its own processes'}",
    ]
    for name, smallest in compute_smallest(noise).items():
        cells = [_format_difference(*smallest[design]) for design in ("paired", "between")]
        lines.append(f"{name:<8}{cells[0]:<28}{cells[1]}")
    return "\n".join(lines)


def _format_difference(expected: float | None, worst: float | None) -> str:
    if expected is None or worst is None:
        return "too short"
    return f"{format_share(expected, 2)} ({format_share(worst, 2)})"
