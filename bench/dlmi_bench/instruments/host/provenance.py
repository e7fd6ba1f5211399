"""Provenance of a measurement: machine, versions, commit."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.instruments.host.facts import read_facts

PACKAGES = (
    *("torch", "torchvision", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "onnxscript", "fvcore"),
    *("codecarbon", "nvidia-ml-py", "dlmi-bench"),
)
# Recorded only: what they decide is in the state of their runtimes, or in the hashes of the data.
COMPANIONS = (
    *("openvino", "scipy", "triton", "nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "nvidia-cublas"),
    *("nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
)
CHECKOUT = Path(__file__).parents[4]
CPUINFO = Path("/proc/cpuinfo")


def describe_environment() -> dict[str, JsonValue]:
    """Describe all that stays the same during a run, and its date."""
    return {
        "machine": describe_machine(),
        "machine_id": compute_machine_id(),
        **describe_settings(),
        "versions": {**describe_versions(), **describe_companions()},
        "commit": describe_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def describe_machine() -> dict[str, JsonValue]:
    import psutil

    return {
        "cpu": _read_cpu_name(),
        "n_cpus": os.cpu_count(),
        "n_cpus_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "is_virtual": _has_cpu_flag("hypervisor"),
    }


@cache
def describe_settings() -> dict[str, JsonValue]:
    """`settings`: what can change on the same machine, and so is no part of its fingerprint; `absent`: why not."""
    facts = read_facts()
    return {
        "settings": {name: fact.value for name, fact in facts.items()},
        "absent": {name: fact.reason for name, fact in facts.items() if fact.value is None},
    }


def compute_machine_id() -> str:
    """Short fingerprint of the hardware and the system, to tell whether two results share a machine; names nobody."""
    text = json.dumps(describe_machine(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def describe_versions() -> dict[str, str]:
    """Versions of what decides results. Packages that are missing are left out."""
    return {"python": ".".join(map(str, sys.version_info[:3])), **_read_versions(PACKAGES)}


def describe_companions() -> dict[str, str]:
    """Versions of what some of the runtimes use as well, and of the C++ compiler; what is missing is left out."""
    compiler = describe_compiler()
    return _read_versions(COMPANIONS) | ({"C++ compiler": compiler} if compiler else {})


def find_compiler() -> str:
    """Name of the C++ compiler that torch's inductor calls: CXX, else g++ (clang++ on macOS)."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def describe_compiler() -> str:
    """Version of the C++ compiler in one line; empty if it does not run."""
    return (_ask(find_compiler(), "--version").splitlines() or [""])[0]


def describe_package(module: str) -> str:
    """Name and version of the package that a module comes from: onnxruntime may be that of onnxruntime-gpu."""
    try:
        return f"{module} {version(module)}"
    except PackageNotFoundError:
        packages = packages_distributions().get(module)
    return f"{packages[0]} {version(packages[0])}" if packages else f"{module} of unknown version"


def describe_commit(checkout: Path = CHECKOUT) -> str:
    """Commit of this checkout, with `-dirty` where files differ from it; empty outside one.

    A repository further up is somebody else's, in which this program is installed.
    """
    git = ("git", "--no-optional-locks", "-C", str(checkout))
    top = _ask(*git, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != checkout.resolve():
        return ""
    commit = _ask(*git, "rev-parse", "--short=12", "HEAD")
    # `git describe --dirty` would lock the index, and a commit of the user's meanwhile would fail.
    return f"{commit}-dirty" if _ask(*git, "status", "--porcelain", "--untracked-files=no") else commit


def _read_versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def _ask(*command: str) -> str:
    """Output of the command; empty if it fails or does not exist."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _read_cpu_name() -> str:
    for line in _read_cpuinfo():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _has_cpu_flag(flag: str) -> bool | None:
    """Look for a flag of the processor; None if its flags cannot be read."""
    flags = next((line.split() for line in _read_cpuinfo() if line.startswith("flags")), None)
    return None if flags is None else flag in flags


@cache
def _read_cpuinfo() -> list[str]:
    try:
        return CPUINFO.read_text().splitlines()
    except OSError:
        return []
