"""Results of pytest-benchmark as records: another way of measuring, in one process, and named so that nothing mixes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue, ValidationError

from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.files import decode_text, parsing, read_bytes
from dlmi_bench.records import Cell, Conditions, Figure, Note, Record
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import put_artifact

NO_TASK = "-"
REMEDY = "make it with pytest --benchmark-json FILE.json"
MAX_FILE_BYTES = 1 << 28
MAX_PROBLEMS = 5  # of a file, in its error
# What our own rows say of themselves and belongs to the identity of a figure; the file has all of it.
IDENTITY = ("model", "backend", "batch", "threads", "provider", "precision", "version", "is_pinned")
INTERVAL = "quartiles over rounds of one process; no confidence interval"
NOTE = "imported: measured in another way, not comparable with latency_s"

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=1)]


class Stats(BaseModel):
    """The figures of one benchmark that are read; pytest-benchmark writes more."""

    min: Seconds
    max: Seconds
    mean: Seconds
    stddev: Seconds
    median: Seconds
    q1: Seconds
    q3: Seconds
    rounds: Number
    iterations: Number


class ImportedBenchmark(BaseModel):
    fullname: str = Field(min_length=1)
    stats: Stats
    extra_info: dict[str, JsonValue] = {}


class BenchmarkFile(BaseModel):
    """File that `pytest --benchmark-json` writes."""

    benchmarks: tuple[ImportedBenchmark, ...] = Field(min_length=1)
    datetime: str
    version: str
    machine_info: dict[str, JsonValue] = {}
    commit_info: dict[str, JsonValue] = {}


def import_benchmarks(path: Path, folder: Path) -> Record:
    """Read a file into the store in `folder`, whole or not at all; importing it again adds nothing new.

    Raises:
        UsageError: there is no such file, or its name is no text.
        DataError: it is no JSON, of another schema, or has a time that is negative or no number.
    """
    if not path.name.isprintable():
        raise UsageError(f"{str(path)!r}: its name is not printable text", "give the file a name in UTF-8")
    try:
        content = read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that pytest --benchmark-json wrote") from error
    with parsing(path, REMEDY):
        read = _parse(path, content)
    store = Store(folder)
    digest = hashlib.sha256(content).hexdigest()
    record = Record(
        cell=Cell(kind="imported", task=NO_TASK, model=f"{path.stem}-{digest[:8]}"),
        figures=tuple(_make_figures(path, read)),
        artifacts=(put_artifact(folder, "benchmark-json", content, ".json"),),
        provenance={"file": path.name, "taken_at": read.datetime, "tool": _name_tool(read)} | _describe_origin(read),
    )
    store.add_done([(record, digest)])
    store.close()
    return record


def _parse(path: Path, content: bytes) -> BenchmarkFile:
    try:
        read = BenchmarkFile.model_validate_json(decode_text(content))
    except ValidationError as error:
        problems = [_describe(e["loc"], e["msg"]) for e in error.errors()]
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        cause = f"{path}: {'; '.join(problems[:MAX_PROBLEMS])}{more}"
        raise DataError(cause, REMEDY) from None
    names = [benchmark.fullname for benchmark in read.benchmarks]
    for index, benchmark in enumerate(read.benchmarks):
        where = f"{path}: field benchmarks.{index}"
        if names.index(benchmark.fullname) != index:
            raise DataError(f"{where}.fullname: {benchmark.fullname!r} for the second time", "give each a name")
        stats = benchmark.stats
        if not stats.min <= stats.q1 <= stats.median <= stats.q3 <= stats.max:
            raise DataError(f"{where}.stats: min, q1, median, q3 and max are not in this order", "write the file again")
        if not stats.min <= stats.mean <= stats.max:
            raise DataError(f"{where}.stats: the mean is not between min and max", "write the file again")
    return read


def _describe(loc: tuple[int | str, ...], message: str) -> str:
    return f"field {'.'.join(map(str, loc))}: {message}" if loc else message


def _make_figures(path: Path, read: BenchmarkFile) -> Iterator[Figure]:
    for benchmark in read.benchmarks:
        stats = benchmark.stats
        conditions: Conditions = {"benchmark": benchmark.fullname}
        for name in IDENTITY:
            value = benchmark.extra_info.get(name)
            if isinstance(value, str | int):  # bool is one; a float could be NaN
                conditions[name] = value
        yield Figure(
            name="imported_latency_s",
            value=stats.median,
            lo=stats.q1,
            hi=stats.q3,
            interval=INTERVAL,
            kind="measured",
            source=_name_tool(read),
            method=f"median of {stats.rounds} rounds of {stats.iterations} calls, one process; from {path.name}",
            n=stats.rounds,
            conditions=conditions,
            notes=(Note(None, NOTE),),
        )


def _name_tool(read: BenchmarkFile) -> str:
    return f"pytest-benchmark {read.version}"


def _describe_origin(read: BenchmarkFile) -> dict[str, JsonValue]:
    """Machine and versions as the file states them, without the name of the host."""
    cpu = read.machine_info.get("cpu")
    found = {
        "cpu": cpu.get("brand_raw") if isinstance(cpu, dict) else None,
        "python": read.machine_info.get("python_version"),
        "taken_commit": read.commit_info.get("id"),
    }
    return {name: value if isinstance(value, str) else None for name, value in found.items()}
