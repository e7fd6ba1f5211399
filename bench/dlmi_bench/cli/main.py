"""The command line: arguments, progress, exit codes; nothing else. Heavy imports wait until a command runs."""

import os
import signal
import sys
from typing import NoReturn

import typer

from dlmi_bench.cli.claims import claims
from dlmi_bench.cli.count import count
from dlmi_bench.cli.data import data
from dlmi_bench.cli.doctor import doctor
from dlmi_bench.cli.export import export
from dlmi_bench.cli.gate import baseline_app, gate
from dlmi_bench.cli.import_benchmark import import_benchmark
from dlmi_bench.cli.init import init
from dlmi_bench.cli.list import list_
from dlmi_bench.cli.merge import merge
from dlmi_bench.cli.options import say
from dlmi_bench.cli.profile import profile
from dlmi_bench.cli.report import report
from dlmi_bench.cli.run import run
from dlmi_bench.errors import BenchError, UsageError, choose_remedy

EXIT_ERROR = 1
EXIT_USAGE = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help answers in half the time
    help="Accuracy against cost for compact models: train, measure, report.",
)
app.command()(init)
app.command("list")(list_)
app.command()(data)
app.command()(run)
app.add_typer(baseline_app, name="baseline")
app.command()(gate)
app.command()(doctor)
app.command()(report)
app.command()(export)
app.command()(claims)
app.command()(count)
app.command()(profile)
app.command()(merge)
app.command()(import_benchmark)


def main() -> None:
    """Entry point: errors go to standard error with cause and remedy."""
    _heed_signals()
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


def _heed_signals() -> None:
    """SIGTERM and SIGHUP end the program as an error does: with its workers, without its temporary files."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # not every system has both
        if number and signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def _end(error: BenchError, code: int) -> NoReturn:
    say(f"error: {error}", err=True)
    sys.exit(code)
