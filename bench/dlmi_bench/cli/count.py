"""The command `count`: what a model costs, without a clock."""

from typing import Annotated, Any

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, print_json

SubjectArgument = Annotated[str, typer.Argument(metavar="MODEL|FILE.onnx|FILE.py:factory|package.module:factory")]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="Shape of the input, batch first: 1,1,50,50; of a file with several inputs NAME=1,1,50,50, repeated; or "
        "examples in FILE.npz.",
    ),
]
OutputOption = Annotated[str, typer.Option("--output", help="Output of an ONNX file that holds the scores.")]
AxisOption = Annotated[
    int | None, typer.Option("--batch-axis", min=0, help="Axis of the examples in the inputs of an ONNX file.")
]
ClassesOption = Annotated[int | None, typer.Option("--classes", min=2, help="Number of classes, if a factory asks.")]


def count(
    subject: SubjectArgument,
    input_: InputOption = None,
    output: OutputOption = "",
    batch_axis: AxisOption = None,
    classes: ClassesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Parameters, multiply-accumulates by several counters, activations, flops of training."""
    from dlmi_bench.cli.answers import CountAnswer
    from dlmi_bench.jobs.subject import parse_subject

    choices: dict[str, Any] = {"output": output, "batch_axis": batch_axis}
    answer = api.count(subject, input_shape=input_, n_classes=classes, **choices)
    if as_json:
        print_json(CountAnswer(subject=parse_subject(subject, input_, **choices), figures=tuple(answer.content)))
    else:
        typer.echo(answer)
