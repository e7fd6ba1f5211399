"""The command `count`: what a model costs, without a clock."""

from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, print_json

SubjectArgument = Annotated[str, typer.Argument(metavar="MODEL|FILE.onnx|FILE.py:factory|package.module:factory")]
InputOption = Annotated[str | None, typer.Option("--input", help="Shape of the input, batch first: 1,1,50,50.")]


ClassesOption = Annotated[int | None, typer.Option("--classes", min=2, help="Number of classes, if a factory asks.")]


def count(
    subject: SubjectArgument, input_: InputOption = None, classes: ClassesOption = None, as_json: JsonOption = False
) -> None:
    """Parameters, multiply-accumulates by several counters, activations, flops of training."""
    from dlmi_bench.jobs.subject import parse_subject

    answer = api.count(subject, input_shape=input_, n_classes=classes)
    if as_json:
        figures = [figure.model_dump(mode="json") for figure in answer.content]
        print_json({"subject": parse_subject(subject, input_).model_dump(mode="json"), "figures": figures})
    else:
        typer.echo(answer)
