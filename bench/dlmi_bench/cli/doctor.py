"""The command `doctor`: what this machine can measure, in plain words. Heavy imports wait until it runs."""

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmi_bench.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from dlmi_bench.instruments.doctor import Finding
    from dlmi_bench.stats.resolution import Noise

WIDTH = 80
DURATIONS_S = {"30 s": 30.0, "2 min": 120.0, "10 min": 600.0}


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the noise, which takes 25 s.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What this machine can measure, what it cannot, and what to do about it."""
    from dlmi_bench.instruments.doctor import examine, look
    from dlmi_bench.instruments.host.provenance import describe_environment
    from dlmi_bench.jobs.noise import BUDGET_S, measure_noise

    environment = describe_environment()
    findings = examine(look())
    if not as_json:
        typer.echo(format_machine(environment))
        typer.echo("\n".join(map(format_finding, findings)))
    noise = None
    if not quick:
        typer.echo(f"\nMeasuring this machine's noise: a net against itself, {BUDGET_S:.0f} s ...", err=as_json)
        noise = measure_noise(lambda *_: None)
    if as_json:
        answer = {"environment": environment, "findings": [asdict(finding) for finding in findings]}
        print_json(answer | {"noise": describe_noise(noise) if noise else None})
    elif noise:
        typer.echo(format_noise(noise))


def format_machine(environment: dict[str, Any]) -> str:
    machine = environment["machine"]
    memory = machine["memory_bytes"] / 2**30
    cpus = f"{machine['n_cpus']} CPUs, {machine['n_cpus_allowed']} allowed"
    text = f"{machine['cpu']}, {cpus}, {memory:.0f} GiB, {machine['system']}; commit {environment['commit'] or 'none'}"
    return textwrap.fill(text, WIDTH) + "\n"


def format_finding(finding: "Finding") -> str:
    """For instance `no      energy, processor: no counters in ...`, the remedy below it."""
    indent = " " * 8
    lines = textwrap.wrap(f"{finding.can:<8}{finding.topic}: {finding.says}", WIDTH, subsequent_indent=indent)
    if finding.remedy and finding.can != "yes":
        lines += textwrap.wrap(f"-> {finding.remedy}", WIDTH, initial_indent=indent, subsequent_indent=indent + "   ")
    return "\n".join(lines)


def describe_noise(noise: "Noise") -> dict[str, Any]:
    """Raw ratios, and the smallest relative difference by duration: expected, and with the worst plausible spread."""
    smallest = {
        name: {
            "paired": [noise.compute_paired(duration_s, is_worst=worst) for worst in (False, True)],
            "between": [noise.compute_between(duration_s, is_worst=worst) for worst in (False, True)],
        }
        for name, duration_s in DURATIONS_S.items()
    }
    return asdict(noise) | {"bias": noise.compute_bias(), "smallest_difference": smallest}


def format_noise(noise: "Noise") -> str:
    lo, hi = noise.compute_bias()
    n = len(noise.paired)
    lines = [
        f"{n} processes of {noise.process_s:.1f} s. A net differs from itself by [{lo:+.2%}, {hi:+.2%}] (95 %).",
        "Smallest difference of latency that 8 of 10 sessions find, at a level of 5 %;",
        f"in brackets with the largest spread that {n} processes leave plausible:",
        f"{'in':<8}{'both in each process':<28}{'each in its own processes'}",
    ]
    for name, smallest in describe_noise(noise)["smallest_difference"].items():
        cells = [_format_difference(*smallest[way]) for way in ("paired", "between")]
        lines.append(f"{name:<8}{cells[0]:<28}{cells[1]}")
    return "\n".join(lines)


def _format_difference(expected: float | None, worst: float | None) -> str:
    if expected is None or worst is None:
        return "too short"
    return f"{expected:.2%} ({worst:.2%})"
