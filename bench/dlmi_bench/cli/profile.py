"""The command `profile`: what a model costs on every runtime of this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.count import AxisOption, ClassesOption, InputOption, OutputOption
from dlmi_bench.cli.options import JsonOption, QuietOption, print_json

if TYPE_CHECKING:
    from dlmi_bench.profiling.profile import Profile

EXIT_FAILED_ROWS = 1


def profile(
    subjects: Annotated[list[str], typer.Argument(metavar="MODEL|FILE.onnx|FILE.py:factory|package.module:factory...")],
    input_: InputOption = None,
    output: OutputOption = "",
    batch_axis: AxisOption = None,
    classes: ClassesOption = None,
    test: Annotated[Path | None, typer.Option(help="Test set of ONNX files, .npz with x and y.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be repeated.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, max=4096, help="Batch size; may be repeated.")] = None,
    threads: Annotated[list[int] | None, typer.Option(min=1, max=256, help="Threads; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Measure again in new processes while this lasts.")] = 55.0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Latency, memory, energy, parity and counts of models, one after the other, on every runtime."""
    measured = []
    for subject in subjects:
        for n_threads in threads or (1,):
            answer = api.profile(
                subject,
                input_shape=input_,
                n_classes=classes,
                output=output,
                batch_axis=batch_axis,
                backends=backend or (),
                batches=batch or (),
                threads=n_threads,
                test=test,
                budget_s=seconds,
                on_progress=(lambda *_: None) if quiet else _show,
            )
            measured.append(answer.content)
            if not as_json:
                typer.echo(f"{answer}\n" if len(subjects) * len(threads or (1,)) > 1 else answer)
    if as_json:
        from dlmi_bench.cli.answers import ProfileAnswer

        print_json(ProfileAnswer.model_validate({"profiles": [*map(_to_json, measured)]}))
    if any(_is_failed(found, is_chosen=bool(backend)) for found in measured):
        raise typer.Exit(EXIT_FAILED_ROWS)


def _is_failed(profile: "Profile", *, is_chosen: bool) -> bool:
    """A row that failed or is INVALID; one that this machine lacks only where it was asked for by name."""
    failed = (row.error and (is_chosen or not row.is_missing) for row in profile.rows)
    return bool(profile.error) or profile.is_invalid or any(failed)


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
        "n_threads": profile.n_threads,
        "counts": [figure.model_dump(mode="json") for figure in profile.counts],
        "error": profile.error,
        "rows": rows,
        "peaks": [figure.model_dump(mode="json") for figure in profile.peaks],
        "took_s": profile.took_s,
    }
