"""The command `doctor`: what this machine can measure, in plain words. Heavy imports wait until it runs."""

from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, print_json


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the noise, which takes 25 s.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what this machine can measure, what it cannot, and what to do about it."""
    from dlmi_bench.cli.answers import DoctorAnswer
    from dlmi_bench.instruments.doctor import examine, look
    from dlmi_bench.instruments.doctor_text import describe_noise, format_finding, format_machine, format_noise
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
        described = describe_noise(noise) if noise else None
        content = {"environment": environment, "findings": tuple(findings), "noise": described}
        print_json(DoctorAnswer.model_validate(content))
    elif noise:
        typer.echo(format_noise(noise))
