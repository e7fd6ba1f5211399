"""Engines by name."""

from collections.abc import Iterable
from pathlib import Path

from dlmi_bench.errors import UsageError, list_choices, require
from dlmi_bench.suite.engines import Engine
from dlmi_bench.suite.engines.local import LocalEngine
from dlmi_bench.suite.engines.options import DaskOptions, SlurmOptions, parse_options

ENGINES = ("local", "dask", "slurm")


def open_engine(name: str, words: Iterable[str], folder: Path) -> Engine:
    """Make an engine ready; close it at the end.

    Args:
        words: Its options, as the command line has them.
        folder: Of the results.

    Raises:
        UsageError: there is no such engine or option.
        UnavailableError: what it needs is not installed, or nobody answers.
    """
    if name not in ENGINES:
        raise UsageError(f"--executor {name}: no such engine", list_choices(name, ENGINES))
    if name == "local":
        if words := [*words]:
            raise UsageError(f"--with {words[0]}: this machine has no options", "name --executor dask or slurm")
        return LocalEngine()
    require(name, f"--executor {name}")
    if name == "dask":
        from dlmi_bench.suite.engines.dask import open_dask

        return open_dask(parse_options(words, DaskOptions, name), folder)
    from dlmi_bench.suite.engines.slurm import open_slurm

    return open_slurm(parse_options(words, SlurmOptions, name), folder)
