"""The command `count`: what a model costs, without a clock."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmi_bench.cli.options import JsonOption, print_json
from dlmi_bench.profile.text import format_counts
from dlmi_bench.units import clean_line

if TYPE_CHECKING:
    pass

SubjectArgument = Annotated[str, typer.Argument(metavar="MODEL|FILE.onnx|package.module:factory")]
InputOption = Annotated[str | None, typer.Option("--input", help="Shape of the input, batch first: 1,1,50,50.")]


def count(subject: SubjectArgument, input_: InputOption = None, as_json: JsonOption = False) -> None:
    """Parameters, multiply-accumulates by several counters, activations, flops of training."""
    from dlmi_bench.jobs.subject import parse_subject
    from dlmi_bench.jobs.worker import Worker
    from dlmi_bench.records import Figure

    parsed = parse_subject(subject, input_)
    with Worker() as worker:  # the user's own module runs there
        answer: Any = worker.call(
            "dlmi_bench.jobs.counting:run_counts_job", {"subject": parsed.model_dump(mode="json")}
        )
    if as_json:
        print_json({"subject": parsed.model_dump(mode="json"), "figures": answer})
        return
    typer.echo(f"{clean_line(subject)}, one example of {'x'.join(map(str, parsed.input_shape))}")
    for line in format_counts([Figure.model_validate(item) for item in answer]):
        typer.echo(line)
