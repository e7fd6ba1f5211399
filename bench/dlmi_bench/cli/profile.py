"""The command `profile`: what one model costs on every runtime of this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench.cli.count import InputOption, SubjectArgument
from dlmi_bench.cli.options import JsonOption, print_json
from dlmi_bench.errors import UsageError
from dlmi_bench.profile.text import format_profile

if TYPE_CHECKING:
    from dlmi_bench.profile.profile import Profile

EXIT_FAILED_ROWS = 1


def profile(
    subject: SubjectArgument,
    input_: InputOption = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be repeated.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, max=4096, help="Batch size; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Measure again in new processes while this lasts.")] = 55.0,
    as_json: JsonOption = False,
) -> None:
    """Counts, memory, latency, energy and parity of one model on every runtime, on random inputs."""
    from dlmi_bench.backends import BACKENDS
    from dlmi_bench.jobs.subject import parse_subject
    from dlmi_bench.profile.profile import profile_model

    parsed = parse_subject(subject, input_)
    for name in backend or ():
        if name not in BACKENDS:
            raise UsageError(f"no backend {name!r}", f"use one of {', '.join(BACKENDS)}")
    batches = tuple(dict.fromkeys(batch or (parsed.batch,)))
    names = tuple(dict.fromkeys(backend or BACKENDS))
    profile = profile_model(parsed, names, batches, budget_s=seconds, on_progress=_show)
    if as_json:
        print_json(_to_json(profile))
    else:
        typer.echo(format_profile(profile, subject))
    if profile.error or any(row.error and (backend or not row.is_missing) for row in profile.rows):
        raise typer.Exit(EXIT_FAILED_ROWS)


def _show(doing: str, _: float) -> None:
    typer.echo(f"profile: {doing}", err=True)


def _to_json(profile: "Profile") -> dict[str, object]:
    rows = [
        {"backend": r.backend, "figures": [f.model_dump(mode="json") for f in r.figures]}
        | ({"error": r.error, "remedy": r.remedy, "is_missing": r.is_missing} if r.error else {})
        for r in profile.rows
    ]
    return {
        "subject": profile.subject.model_dump(mode="json"),
        "counts": [figure.model_dump(mode="json") for figure in profile.counts],
        "error": profile.error,
        "rows": rows,
        "peaks": [figure.model_dump(mode="json") for figure in profile.peaks],
        "took_s": profile.took_s,
    }
