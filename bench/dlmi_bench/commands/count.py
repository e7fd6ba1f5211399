"""The command `count`: what a model costs, without a clock."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmi_bench.options import JsonOption, print_json
from dlmi_bench.units import clean_line

if TYPE_CHECKING:
    from dlmi_bench.records import Figure

SubjectArgument = Annotated[str, typer.Argument(metavar="MODEL|FILE.onnx|package.module:factory")]
InputOption = Annotated[str | None, typer.Option("--input", help="Shape of the input, batch first: 1,1,50,50.")]


def count(subject: SubjectArgument, input_: InputOption = None, as_json: JsonOption = False) -> None:
    """Parameters, multiply-accumulates by several counters, activations, flops of training."""
    from dlmi_bench.executors import Worker
    from dlmi_bench.records import Figure
    from dlmi_bench.subject import parse_subject

    parsed = parse_subject(subject, input_)
    with Worker() as worker:  # the user's own module runs there
        answer: Any = worker.call("dlmi_bench.counting:run_counts_job", {"subject": parsed.model_dump(mode="json")})
    if as_json:
        print_json({"subject": parsed.model_dump(mode="json"), "figures": answer})
        return
    typer.echo(f"{clean_line(subject)}, one example of {'x'.join(map(str, parsed.input_shape))}")
    for line in format_counts([Figure.model_validate(item) for item in answer]):
        typer.echo(line)


def format_counts(figures: "list[Figure]") -> list[str]:
    """A line for each figure, and one for each thing that it says about itself, once."""
    lines, notes = [], dict[str, None]()
    for figure in figures:
        counter = figure.conditions.get("counter")
        name = f"{figure.name} ({counter})" if counter else figure.name
        shown = f"n/a: {figure.reason}" if figure.value is None else f"{figure.value:>16,.0f}".replace(",", " ")
        coverage = figure.conditions.get("coverage")
        covered = f", coverage {coverage:.0%}" if isinstance(coverage, float) else ""
        lines.append(f"  {name:<24}{shown}" + ("" if figure.value is None else f"  {figure.source}{covered}"))
        notes |= dict.fromkeys(figure.notes)
    return [clean_line(line) for line in (*lines, *(f"  note: {note}" for note in notes))]
