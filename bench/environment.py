"""What a measurement was taken on: machine, versions, commit."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue

from bench.machine import read_facts

PACKAGES = (
    *("torch", "torchvision", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "fvcore"),
    *("codecarbon", "nvidia-ml-py", "dlmi-bench"),
)
CPUINFO = Path("/proc/cpuinfo")


def describe_environment() -> dict[str, JsonValue]:
    """Everything that does not change while a run goes on, plus its date."""
    return {
        "machine": describe_machine(),
        "machine_id": compute_machine_id(),
        **describe_settings(),
        "versions": dict(describe_versions()),
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
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def describe_commit() -> str:
    """Commit of this checkout, with `-dirty` where files differ from it; empty outside a checkout."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent.parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _read_cpu_name() -> str:
    for line in _read_cpuinfo():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _has_cpu_flag(flag: str) -> bool | None:
    """None where the processor's flags cannot be read."""
    flags = next((line.split() for line in _read_cpuinfo() if line.startswith("flags")), None)
    return None if flags is None else flag in flags


@cache
def _read_cpuinfo() -> list[str]:
    try:
        return CPUINFO.read_text().splitlines()
    except OSError:
        return []
