"""The command `count`: what a model costs, without a clock."""

from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, print_json
from dlmi_bench.profile.text import format_counts
from dlmi_bench.units import clean_line

SubjectArgument = Annotated[str, typer.Argument(metavar="MODEL|FILE.onnx|package.module:factory")]
InputOption = Annotated[str | None, typer.Option("--input", help="Shape of the input, batch first: 1,1,50,50.")]


def count(subject: SubjectArgument, input_: InputOption = None, as_json: JsonOption = False) -> None:
    """Parameters, multiply-accumulates by several counters, activations, flops of training."""
    from dlmi_bench.jobs.protocol import CountsRequest
    from dlmi_bench.jobs.subject import parse_subject
    from dlmi_bench.jobs.worker import Worker

    parsed = parse_subject(subject, input_)
    with Worker() as worker:  # the user's own module runs there
        figures = worker.ask(CountsRequest(subject=parsed))
    if as_json:
        dumped = [figure.model_dump(mode="json") for figure in figures]
        print_json({"subject": parsed.model_dump(mode="json"), "figures": dumped})
        return
    typer.echo(f"{clean_line(subject)}, one example of {'x'.join(map(str, parsed.input_shape))}")
    for line in format_counts([*figures]):
        typer.echo(line)
