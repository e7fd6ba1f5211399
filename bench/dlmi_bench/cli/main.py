"""The command line: arguments, progress, exit codes; nothing else. Heavy imports wait until a command runs."""

import codecs
import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from dlmi_bench.cli.claims import claims
from dlmi_bench.cli.compare import compare
from dlmi_bench.cli.count import count
from dlmi_bench.cli.data import data
from dlmi_bench.cli.doctor import doctor
from dlmi_bench.cli.export import export
from dlmi_bench.cli.firmware import firmware
from dlmi_bench.cli.gate import baseline_app, gate
from dlmi_bench.cli.grouped import Grouped
from dlmi_bench.cli.import_benchmark import import_benchmark
from dlmi_bench.cli.init import init
from dlmi_bench.cli.judge import judge
from dlmi_bench.cli.list import list_
from dlmi_bench.cli.merge import merge
from dlmi_bench.cli.options import say
from dlmi_bench.cli.profile import profile
from dlmi_bench.cli.referee import referee
from dlmi_bench.cli.report import report
from dlmi_bench.cli.run import run
from dlmi_bench.cli.status import status
from dlmi_bench.cli.tune import tune
from dlmi_bench.errors import BenchError, UsageError, choose_remedy

EXIT_ERROR = 1
EXIT_USAGE = 2

# By name: the command, and an example for its help.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "init": (init, "init my-study"),
    "list": (list_, "list models"),
    "data": (data, "data usps"),
    "run": (run, "run --suite smoke --report"),
    "status": (status, "status --out out"),
    "tune": (tune, "tune --task usps --model mlp-64-32 --model cnn-4"),
    "gate": (gate, "gate --onnx net.onnx --test test.npz"),
    "doctor": (doctor, "doctor --quick"),
    "report": (report, "report --format html --to my-report"),
    "export": (export, "export --format csv --format model-card"),
    "claims": (claims, "claims --file claims.toml"),
    "judge": (judge, "judge answers.csv --report my-report"),
    "count": (count, "count mlp-64-32"),
    "profile": (profile, "profile softmax --backend onnxruntime --seconds 5"),
    "compare": (compare, "compare a.onnx b.onnx --test test.npz"),
    "firmware": (firmware, "firmware sepconv-6-9-10 --limit-flash 2048"),
    "referee": (referee, "referee mlp-64-32 net.py:make_net --task usps"),
    "merge": (merge, "merge machine-1 machine-2 --to all"),
    "import-benchmark": (import_benchmark, "import-benchmark timings.json --out imported"),
}

# What people do first, for those who say no command.
FIRST = {
    "run --suite smoke --report": "a first report, in a minute",
    "run --report": "the course's claims, until decided",
    "init my-study": "your own models and data",
    "profile model.onnx": "one file on every runtime",
    "gate": "slower or worse than the baseline?",
}

app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help answers in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: dlmi-bench run --suite smoke --report",
)
for _name, (_command, _example) in COMMANDS.items():
    app.command(_name, cls=Grouped, epilog=f"Example: dlmi-bench {_example}")(_command)
app.add_typer(baseline_app, name="baseline", epilog="Example: dlmi-bench baseline list")


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"dlmi-bench {version('dlmi-bench')}")
        raise typer.Exit


@app.callback()
def _describe(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Accuracy against cost for compact models: train, measure, report."""
    if context.invoked_subcommand is None:
        width = max(map(len, FIRST))
        lines = [f"  dlmi-bench {words.ljust(width)}  {what}" for words, what in FIRST.items()]
        typer.echo("\n".join(["dlmi-bench measures accuracy against cost. People begin with", "", *lines, ""]))
        typer.echo("dlmi-bench -h lists all commands; -h after one explains it with an example.")
        raise typer.Exit(EXIT_USAGE)


def main() -> None:
    """Entry point: errors go to standard error with cause and remedy."""
    _heed_signals()
    _speak_utf8()
    try:
        app(standalone_mode=True)
    except UsageError as error:
        _end(error, EXIT_USAGE)
    except BenchError as error:
        _end(error, EXIT_ERROR)
    except (MemoryError, ImportError) as error:
        _end(BenchError(f"{type(error).__name__}: {str(error) or 'memory ran out'}", choose_remedy(error)), EXIT_ERROR)
    except OSError as error:
        # Standard output may be what is full: what waits for it is dropped, else the interpreter tries again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        where = f"{error.filename}: " if error.filename else ""
        remedy = "name a file or folder that can be read and written, on a disk with space left"
        _end(BenchError(f"{where}{error.strerror or error}", remedy), EXIT_ERROR)


def _speak_utf8() -> None:
    """Write UTF-8 where the locale says ASCII, which hardly ever is what a terminal shows; click does so as well."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and codecs.lookup(stream.encoding).name == "ascii":
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _heed_signals() -> None:
    """SIGTERM and SIGHUP end the program as an error does: with its workers, without its temporary files."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # not every system has both
        if number and signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def _end(error: BenchError, code: int) -> NoReturn:
    say(f"error: {error}", err=True)
    sys.exit(code)
