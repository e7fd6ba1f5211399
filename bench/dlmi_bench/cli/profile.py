"""The command `profile`: what one model costs on every runtime of this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.count import ClassesOption, InputOption, SubjectArgument
from dlmi_bench.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from dlmi_bench.profiling.profile import Profile

EXIT_FAILED_ROWS = 1


def profile(
    subject: SubjectArgument,
    input_: InputOption = None,
    classes: ClassesOption = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be repeated.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, max=4096, help="Batch size; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Measure again in new processes while this lasts.")] = 55.0,
    as_json: JsonOption = False,
) -> None:
    """Counts, memory, latency, energy and parity of one model on every runtime, on random inputs."""
    answer = api.profile(
        subject,
        input_shape=input_,
        n_classes=classes,
        backends=backend or (),
        batches=batch or (),
        budget_s=seconds,
        on_progress=_show,
    )
    measured = answer.content
    if as_json:
        print_json(_to_json(measured))
    else:
        typer.echo(answer)
    if measured.error or any(row.error and (backend or not row.is_missing) for row in measured.rows):
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
