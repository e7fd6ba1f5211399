"""The C compiler: found, asked for its version, started with a list of arguments in a folder of its own."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from platformdirs import user_cache_path

from dlmi_bench.errors import UnavailableError
from dlmi_bench.extras import is_installed
from dlmi_bench.files import write_text
from dlmi_bench.instruments.host.provenance import describe_machine
from dlmi_bench.native.writing.kernels import hash_kernels

# A product and the sum behind it may be rounded once together, which is more exact; nothing is reordered.
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=fast")
SHARED = ("-shared", "-fPIC")
NAMES = ("cc", "gcc", "clang")
TIMEOUT_S = 300
MACHINE = ("cpu", "architecture", "system")


def find_command() -> tuple[str, ...]:
    """Words that start the compiler: those of CC, else cc, gcc or clang, else the package ziglang; empty if none."""
    if named := shlex.split(os.environ.get("CC", "")):
        return tuple(named)
    if found := next(filter(None, map(shutil.which, NAMES)), None):
        return (found,)
    return (sys.executable, "-m", "ziglang", "cc") if is_installed("ziglang") else ()


def describe_compiler() -> str:
    """Version of the C compiler in one line; empty if it does not run."""
    return _ask(find_command())


def describe_tools() -> str:
    """The compiler, and a hash of the C functions that nets are made of."""
    return f"{describe_compiler()}, kernels {hash_kernels()}"


@cache
def _ask(command: tuple[str, ...]) -> str:
    if not command:
        return ""
    try:
        said = _start((*command, "--version"))
    except (OSError, subprocess.SubprocessError):
        return ""
    return (said.stdout.splitlines() or [""])[0].strip()


def _start(
    command: tuple[str, ...], *, cwd: Path | None = None, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    nothing = subprocess.DEVNULL
    return subprocess.run(
        command, cwd=cwd, check=check, stdin=nothing, capture_output=True, text=True, timeout=TIMEOUT_S
    )


def find_missing_compiler() -> str:
    """What this machine lacks, empty if nothing."""
    if describe_compiler():
        return ""
    command = " ".join(find_command()) or " or ".join(NAMES)
    return f"no C compiler ({command} does not run); install gcc, clang or dlmi-bench[native], or set CC"


def compile_library(source: str, header: str) -> Path:
    """Path of the shared library of these texts, net.c and net.h: compiled, or found in the user's cache.

    The cache keeps it under a hash of texts, compiler, flags and machine.

    Raises:
        UnavailableError: there is no compiler, or it does not compile them.
    """
    if missing := find_missing_compiler():
        raise UnavailableError(missing.partition("; ")[0], missing.partition("; ")[2])
    machine = [describe_machine()[field] for field in MACHINE]
    parts = (source, header, find_command(), describe_compiler(), FLAGS, machine)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    path = user_cache_path("dlmi-bench", appauthor=False) / "native" / f"{key}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as folder:
            write_text(Path(folder, "net.c"), source)
            write_text(Path(folder, "net.h"), header)
            _compile(Path(folder)).replace(path)
    return path


def _compile(folder: Path) -> Path:
    run_compiler((*find_command(), *FLAGS, *SHARED, "-o", "net.so", "net.c", "-lm"), folder)
    return folder / "net.so"


def run_compiler(command: tuple[str, ...], folder: Path) -> None:
    """Run a compiler in a folder, without a shell.

    Raises:
        UnavailableError: it does not run, or fails.
    """
    remedy = "install another compiler, or set CC to one that works"
    try:
        done = _start(command, cwd=folder, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"the C compiler does not run: {error}", remedy) from error
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), f"exit code {done.returncode}")
        raise UnavailableError(f"the C compiler fails: {said[:300]}", remedy)
