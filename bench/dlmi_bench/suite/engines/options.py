"""Options of engines: `--with NAME=VALUE` or `--with FILE.toml`, into a strict record of the engine's fields."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.records import Plain
from dlmi_bench.toml import load_toml

Options = TypeVar("Options", bound=Plain)


class DaskOptions(Plain):
    """Options of the engine `dask`.

    Attributes:
        scheduler: Address of a scheduler, such as tcp://10.0.0.1:8786; without one, this machine is the only node.
        patience_s: How long a scheduler, or the first node, is waited for.
    """

    scheduler: str = ""
    patience_s: float = Field(60.0, gt=0, le=86_400)


class SlurmOptions(Plain):
    """Options of the engine `slurm`.

    Attributes:
        nodes: How many nodes to ask for, one job each.
        partition, account, qos, constraint, gres: As `sbatch` has them; the cluster's defaults where they are empty.
        minutes: Time limit of a job. What it cuts off is done again by the job that takes its place.
        cpus: CPUs of a node that are used; all of them by default.
        memory_gb: Of a node; the cluster's default where it is 0.
        is_exclusive: Whether a job has its node to itself, without which nothing on it can be timed.
        host: Name or address of this machine, as the nodes see it.
        setup: Commands before the job, such as `module load python`.
        patience_s: How long the first node is waited for.
        cluster: `slurm`, or `local` for processes on this machine in the place of jobs, to try things out.
    """

    nodes: int = Field(1, ge=1, le=10_000)
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gres: str = ""
    minutes: int = Field(120, ge=1, le=100_000)
    cpus: int = Field(0, ge=0, le=4096)
    memory_gb: float = Field(0.0, ge=0)
    is_exclusive: bool = True
    host: str = ""
    setup: tuple[str, ...] = ()
    patience_s: float = Field(86_400.0, gt=0)
    cluster: str = Field("slurm", pattern="^(slurm|local)$")


def parse_options(words: Iterable[str], kind: type[Options], engine: str) -> Options:
    """Options from the words of the command line; later words replace earlier ones.

    Raises:
        UsageError: a word is neither NAME=VALUE nor a TOML file, or the engine has no such option.
    """
    found: dict[str, object] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if word.endswith(".toml") and not sign:
            loaded = load_toml(Path(word), kind)
            found |= {name: getattr(loaded, name) for name in loaded.model_fields_set}
        elif not sign or name not in kind.model_fields:
            choices = list_choices(name, kind.model_fields, ", as NAME=VALUE, or a FILE.toml of them")
            raise UsageError(f"--with {word}: the engine {engine} has no such option", choices)
        else:
            found[name] = (*_as_tuple(found.get(name)), value) if name == "setup" else value
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"--with: {problems}", f"correct it; options are {', '.join(kind.model_fields)}") from error


def _as_tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()
