"""Damage to every format, and a table of what came of it: `nox -s fuzz`, or `python tests/fuzz.py --minutes 1`.

Each mutation is drawn from a seed of its own, so that `--only FORMAT --first I --n 1` repeats one.
"""

import argparse
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlmi_bench.errors import BenchError

N_MUTATIONS = 10_000
BATCH = 100  # mutations of one process
MAX_PEAK_BYTES = 1 << 30
LIMIT_BYTES = 6 << 30  # of address space, which libraries reserve more of than they use
GRACE_S = 60.0  # for a process to start and to report
OUTCOMES = ("refused", "same", "different", "traceback", "hang")
INSERTED = (
    b"9" * 5000,
    b"[" * 5000,
    b"{" * 5000,
    b'{"a":' * 3000,
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x1b[31m",
    "\u202e".encode(),
    b"NaN",
    b"1e999",
    b"-1",
    b"../../x",
    b"0_3",
    "\uff13".encode(),
    b"\n" * 1000,
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
)
VALUE = re.compile(rb'-?[0-9]+(\.[0-9]+)?|"[^"]{0,80}"|true|false|null')
ODD = (b"null", b"true", b"-1", b"0", b"1e308", b"0.5", b'"x"', b'""', b"[]", b"{}", b"[[]]", b'"\\u202e"', b"9" * 30)


class Hang(BaseException):
    """A reading took too long. No `except Exception` can take it for damage."""


def mutate(content: bytes, order: random.Random) -> bytes:
    """Damage of one to three kinds."""
    data = bytearray(content)
    for _ in range(order.choice((1, 1, 2, 3))):
        start = order.randrange(len(data) + 1)
        # Headers, where sizes and types stand, are short.
        start = start % 512 if order.random() < 0.5 else start
        end = min(len(data), start + order.choice((1, 2, 4, 8, 64, 1024)))
        order.choice(MUTATIONS)(data, start, end, order)
    return bytes(data)


def _flip(data: bytearray, start: int, _: int, order: random.Random) -> None:
    if start < len(data):
        data[start] ^= 1 << order.randrange(8)


def _overwrite(data: bytearray, start: int, end: int, order: random.Random) -> None:
    data[start:end] = order.randbytes(end - start)


def _delete(data: bytearray, start: int, end: int, _: random.Random) -> None:
    del data[start:end]


def _repeat(data: bytearray, start: int, end: int, order: random.Random) -> None:
    data[start:start] = data[start:end] * order.choice((1, 2, 100))


def _insert(data: bytearray, start: int, _: int, order: random.Random) -> None:
    data[start:start] = order.choice(INSERTED)


def _replace(data: bytearray, start: int, end: int, order: random.Random) -> None:
    data[start:end] = order.choice(INSERTED)


def _retype(data: bytearray, _: int, __: int, order: random.Random) -> None:
    """Another value in place of one that JSON or TOML could hold, which damage of bytes seldom makes."""
    if found := list(VALUE.finditer(data)):
        data[slice(*order.choice(found).span())] = order.choice(ODD)


def _cut(data: bytearray, start: int, _: int, __: random.Random) -> None:
    del data[start:]


def _fill(data: bytearray, start: int, end: int, order: random.Random) -> None:
    data[start:end] = bytes([order.choice((0, 255))]) * (end - start)


MUTATIONS: tuple[Callable[[bytearray, int, int, random.Random], None], ...] = (
    _flip, _flip, _overwrite, _delete, _repeat, _insert, _replace, _retype, _retype, _cut, _fill,
)  # fmt: skip


def run_one(name: str, index: int, bound: float | None = None) -> tuple[str, str]:
    """Outcome of one mutation, and the last lines of a traceback."""
    from fuzz_formats import FORMATS

    entry = FORMATS[name]
    with TemporaryDirectory() as folder:
        path = entry.make(Path(folder))
        content, sound = path.read_bytes(), _read(entry.read, path)
        damaged = mutate(content, random.Random(f"{name}/{index}"))
        path.unlink()
        path.write_bytes(damaged)
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, bound or entry.bound)
        try:
            found = _read(entry.read, path)
        except BenchError:
            return "refused", ""
        except Hang:
            return "hang", "".join(traceback.format_exc(limit=-3))
        except BaseException:  # noqa: BLE001 - this is what is looked for
            return "traceback", "".join(traceback.format_exc(limit=-4))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return ("same", "") if found == sound or damaged == content else ("different", "")


def _stop(*_: object) -> None:
    raise Hang


def _read(read: Callable[[Path], object], path: Path) -> str:
    return repr(read(path)).replace(str(path.parent), "")


def run_batch(name: str, first: int, n: int) -> None:
    """Some mutations in this process; one line of JSON for each, and the peak of memory at the end."""
    import warnings

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    for index in range(first, first + n):
        outcome, said = run_one(name, index)
        print(json.dumps({"index": index, "outcome": outcome, "said": said}), flush=True)  # noqa: T201
    print(json.dumps({"peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}), flush=True)  # noqa: T201


def collect(name: str, first: int, n: int) -> tuple[Counter[str], list[str], int]:
    """Outcomes of a batch in a process of its own, what went wrong, and its peak of memory."""
    from fuzz_formats import FORMATS

    command = [sys.executable, __file__, "--only", name, "--first", str(first), "--n", str(n), "--here"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GRACE_S + n * FORMATS[name].bound, env=environment
        )
        out, error = done.stdout, done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired as expired:
        out, error = (expired.stdout or b"").decode(), "hang"
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    counts = Counter(line["outcome"] for line in lines if "outcome" in line)
    wrong = [f"{name} {line['index']}: {line['said']}" for line in lines if line.get("said")]
    if counts.total() < n:
        counts["hang" if error == "hang" else "traceback"] += 1
        wrong.append(f"{name} {first + counts.total() - 1}: the process ended: {error[-2000:]}")
    return counts, wrong, max((line.get("peak_bytes", 0) for line in lines), default=0)


def run_all(n_mutations: int, names: list[str]) -> tuple[list[list[object]], list[str], bool]:
    """Rows of the table, what went wrong, and whether all is well."""
    from fuzz_formats import FORMATS

    total = sum(FORMATS[name].weight for name in names)
    rows: list[list[object]] = []
    wrong: list[str] = []
    for name in names:
        n, start_s = max(1, round(n_mutations * FORMATS[name].weight / total)), time.monotonic()
        counts, peak = Counter[str](), 0
        for first in range(0, n, BATCH):
            part, said, part_peak = collect(name, first, min(BATCH, n - first))
            counts, wrong, peak = counts + part, wrong + said, max(peak, part_peak)
        rows.append(
            [name, n, *(counts[outcome] for outcome in OUTCOMES), peak >> 20, round(time.monotonic() - start_s)]
        )
        print(" | ".join(map(str, rows[-1])), flush=True)  # noqa: T201
        if FORMATS[name].is_checked and counts["different"]:
            wrong.append(f"{name}: {counts['different']} damaged files were believed although a checksum could tell")
        if peak > MAX_PEAK_BYTES:
            wrong.append(f"{name}: peak of {peak >> 20} MiB")
    return rows, wrong, not wrong


def main() -> None:
    """Print the table as Markdown; exit code 1 where anything went wrong."""
    from fuzz_formats import FORMATS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=N_MUTATIONS)
    parser.add_argument("--only", choices=FORMATS, action="append", default=[])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    if options.here:
        run_batch(options.only[0], options.first, options.n)
        return
    print(" | ".join(["format", "tried", *OUTCOMES, "peak MiB", "s"]))  # noqa: T201
    _, wrong, is_well = run_all(options.n, options.only or [*FORMATS])
    print("\n".join(["", *wrong]) if wrong else "\nnothing went wrong")  # noqa: T201
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
