"""The command `compare`: several ONNX files side by side."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.count import AxisOption, InputOption, OutputOption
from dlmi_bench.cli.options import JsonOption, QuietOption, check_places, print_json, say
from dlmi_bench.errors import UsageError, require

EXIT_INVALID = 1


class TableFormat(StrEnum):
    text = "text"
    md = "md"
    csv = "csv"
    latex = "latex"


def compare(
    files: Annotated[list[str], typer.Argument(metavar="FILE.onnx...", help="Files with different names.")],
    test: Annotated[Path | None, typer.Option(help="Test set, .npz with x and y.")] = None,
    reference: Annotated[str | None, typer.Option(help="File that latency is a multiple of; the first.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Runtime; may be repeated.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, max=4096, help="Batch size; may be repeated.")] = None,
    threads: Annotated[list[int] | None, typer.Option(min=1, max=256, help="Threads; may be repeated.")] = None,
    input_: InputOption = None,
    output: OutputOption = "",
    batch_axis: AxisOption = None,
    processes: Annotated[int, typer.Option(min=2, max=100, help="Fresh processes behind each latency.")] = 5,
    out: Annotated[Path, typer.Option("--out", help="Folder that keeps the records.")] = Path("out/compare"),
    format_: Annotated[TableFormat, typer.Option("--format", help="Of the table.")] = TableFormat.text,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy against latency: FILE.svg, .png or .pdf.")] = None,
    claims: Annotated[Path | None, typer.Option(help="Judge these claims, a TOML file.")] = None,
    with_report: Annotated[bool, typer.Option("--report", help="Write OUT/report at the end.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Accuracy, agreement, size, memory, latency and energy of ONNX files, measured in one session."""
    from dlmi_bench.cli.answers import CompareAnswer
    from dlmi_bench.comparing.text import format_comparison

    _check_words(files, plot, test)
    answer = api.compare_files(
        files,
        test=test,
        reference=reference,
        backends=backend or ("onnxruntime",),
        batches=batch or (),
        threads=threads or (1,),
        input_shape=input_,
        output=output,
        batch_axis=batch_axis,
        n_processes=processes,
        out=out,
        on_progress=(lambda *_: None) if quiet else _show,
    )
    found = answer.content
    if as_json:
        common = {"task": found.task, "reference": found.reference, "failures": found.failures}
        print_json(CompareAnswer.model_validate({**common, "rows": found.rows}))
    else:
        typer.echo(answer if format_ is TableFormat.text else format_comparison(found, format_))
    for failure in found.failures.values():
        say(f"failed: {failure}", err=True)
    if plot:
        found.plot().savefig(plot)
    if with_report:
        typer.echo(api.report(out), err=as_json)
    code = _judge(out, claims, as_json=as_json) if claims else 0
    if code or not found.is_valid:
        raise typer.Exit(code or EXIT_INVALID)


def _check_words(files: list[str], plot: Path | None, test: Path | None) -> None:
    """Refuse before anything is measured what could not be written or drawn, and numbers that follow an option."""
    check_places(plot)
    if plot:
        require("plots", "--plot")
    if stray := next((word for word in files if word.isdigit()), ""):
        raise UsageError(f"no file {stray}", f"repeat the option: --threads 1 --threads {stray}")
    if plot and not test:
        raise UsageError("--plot draws accuracy, which needs a test set", "name it: --test FILE.npz")
    if plot and plot.suffix not in (".svg", ".png", ".pdf"):
        raise UsageError(f"--plot {plot}: no such kind of picture", "name it FILE.svg, FILE.png or FILE.pdf")


def _judge(out: Path, claims: Path, *, as_json: bool) -> int:
    verdicts = api.judge_claims(out, file=claims)
    typer.echo(verdicts, err=as_json)
    return verdicts.content.exit_code


def _show(doing: str, _: float) -> None:
    typer.echo(f"compare: {doing}", err=True)
