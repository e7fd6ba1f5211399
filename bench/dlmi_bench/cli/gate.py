"""Commands `baseline` and `gate`: arguments, progress, exit codes. Heavy imports wait until a command runs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, OutOption, check_places, format_json, print_json, say
from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.files import write_text

if TYPE_CHECKING:
    from dlmi_bench.gating.sides.baseline import Baseline


class Severity(StrEnum):
    warn = "warn"
    fail = "fail"


baseline_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Models that the gate compares candidates with."
)
OnnxOption = Annotated[list[Path] | None, typer.Option("--onnx", help="ONNX file of your own model; may be repeated.")]
TestOption = Annotated[Path | None, typer.Option("--test", help="Test set, .npz with x (n, ...) and y (n,).")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
BaselineOption = Annotated[Path, typer.Option("--baseline", help="Folder of the baseline.")]


@baseline_app.command("save", epilog='Example: dlmi-bench baseline save --reason "first release"')
def baseline_save(
    reason: Annotated[str, typer.Option(help="Why the baseline is set or changed; kept with it.")],
    baseline: BaselineOption = Path("baseline"),
    out: OutOption = Path("out"),
    model: Annotated[list[str] | None, typer.Option(help="Keep only this model; may be repeated.")] = None,
    onnx: OnnxOption = None,
    test: TestOption = None,
    noise: Annotated[int, typer.Option(help="Processes of the A/A session, 2 to 100; 0 leaves it out.")] = 5,
    quiet: QuietOption = False,
) -> None:
    """Save the artifacts of a finished run, or ONNX files, as the new baseline, with the noise of this machine."""
    from dlmi_bench.gating.latency.noise import record_noise
    from dlmi_bench.gating.progress import ProgressLines
    from dlmi_bench.gating.sides.baseline import load_baseline, save_baseline
    from dlmi_bench.gating.sides.files import save_files
    from dlmi_bench.store import Store

    if bool(onnx) != bool(test):
        raise UsageError("ONNX files and their test set go together", "name both: --onnx FILE.onnx --test FILE.npz")
    if noise not in (0, *range(2, 101)):
        raise UsageError(f"--noise {noise}: not a number of processes", "use 2 to 100, or 0 to leave it out")
    with ProgressLines("baseline", is_quiet=quiet) as on_progress:
        if onnx and test:
            on_progress(f"running {len(onnx)} models on {test}")
            save_files(tuple(onnx), test, baseline, reason)
        else:
            save_baseline(Store(out, must_exist=True), baseline, reason, tuple(model or ()))
        if noise:
            record_noise(baseline, noise, on_progress)
    saved = load_baseline(baseline)
    say(f"{len(saved.entries)} models saved in {baseline}: {', '.join(e.name for e in saved.entries)}")
    _print_noise(saved)


def _print_noise(baseline: "Baseline") -> None:
    from dlmi_bench.gating.latency.noise import describe_noise
    from dlmi_bench.instruments.host.provenance import compute_machine_id

    say(describe_noise(baseline, compute_machine_id()))


@baseline_app.command("list", epilog="Example: dlmi-bench baseline list")
def baseline_list(baseline: BaselineOption = Path("baseline"), as_json: JsonOption = False) -> None:
    """Check all files of a baseline and list its models."""
    from dlmi_bench.cli.answers import BaselineListAnswer, ListedModel
    from dlmi_bench.gating.sides.baseline import load_baseline

    loaded = load_baseline(baseline)
    if as_json:
        models = [ListedModel(name=e.name, n_seeds=len(e.trainings), costs=e.costs) for e in loaded.entries]
        print_json(BaselineListAnswer(models=tuple(models)))
        return
    say(f"{loaded.created}: {loaded.reason}")
    for entry in loaded.entries:
        costs = ", ".join(f"{name} {value}" for name, value in entry.costs.items())
        say(f"  {entry.name}: {len(entry.trainings)} seeds, {costs}")
    _print_noise(loaded)


@baseline_app.command("show", epilog="Example: dlmi-bench baseline show usps/mlp-64-32")
def baseline_show(
    name: Annotated[str, typer.Argument(help="TASK/MODEL")], baseline: BaselineOption = Path("baseline")
) -> None:
    """Show all that the baseline keeps of one model, as JSON, with the A/A noise of the machine that saved it."""
    from dlmi_bench.cli.answers import BaselineShowAnswer
    from dlmi_bench.gating.latency.noise import describe_entry_noise
    from dlmi_bench.gating.sides.baseline import load_baseline

    loaded = load_baseline(baseline)
    entries = {entry.name: entry for entry in loaded.entries}
    if name not in entries:
        raise UsageError(f"{baseline}: no model {name!r}", list_choices(name, entries))
    print_json(BaselineShowAnswer(model=entries[name], noise=describe_entry_noise(loaded, name)))


def gate(
    baseline: BaselineOption = Path("baseline"),
    out: Annotated[Path | None, typer.Option(help="Judge this run, not the baseline's weights.")] = None,
    onnx: OnnxOption = None,
    test: TestOption = None,
    against: Annotated[str | None, typer.Option(help="Run the baseline with the code of this commit.")] = None,
    against_python: Annotated[Path | None, typer.Option(help="Interpreter for it; by default found or made.")] = None,
    settings: Annotated[Path | None, typer.Option(help="Limits, a TOML file.")] = None,
    inconclusive: Annotated[Severity | None, typer.Option(help="Effect of an undecided benchmark.")] = None,
    disturbed: Annotated[Severity | None, typer.Option(help="Effect of one that the machine disturbed twice.")] = None,
    extra_calls: Annotated[float, typer.Option(min=0, max=10, help="Slow the candidate down, to try the gate.")] = 0.0,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Append a Markdown summary, as to GITHUB_STEP_SUMMARY.")] = None,
    json_file: Annotated[Path | None, typer.Option(help="Write the JSON of --json to this file.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare models with their baseline, side by side on this machine, and stop what is slower or worse."""
    import os

    from dlmi_bench.cli.answers import GateAnswer
    from dlmi_bench.gating import output
    from dlmi_bench.gating.settings import load_settings

    check_places(junit, summary, json_file)
    severities = {"inconclusive": inconclusive, "disturbed": disturbed}
    chosen = load_settings(settings).model_copy(update={name: s.value for name, s in severities.items() if s})
    outcome = api.gate(
        baseline,
        out=out,
        onnx=onnx or (),
        test=test,
        against=against,
        against_python=against_python,
        settings=chosen,
        extra_calls=extra_calls,
        is_quiet=quiet,
    ).content
    if as_json:
        print_json(GateAnswer.model_validate(output.to_json(outcome)))
    else:
        output.print_table(outcome)
    if json_file:
        write_text(json_file, format_json(output.to_json(outcome)) + "\n")
    if junit:
        output.write_junit(outcome, junit)
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(output.format_summary(outcome))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in output.format_annotations(outcome):
            typer.echo(line, err=as_json)
    raise typer.Exit(outcome.exit_code)
