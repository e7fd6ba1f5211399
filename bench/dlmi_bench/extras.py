"""Extras: packages that only a part of the work needs, and the extra of this project that brings each."""

from importlib.util import find_spec

# Modules by extra; the packages are in pyproject.toml.
EXTRAS: dict[str, tuple[str, ...]] = {
    "torch": ("torch", "torchvision", "fvcore", "onnxscript", "safetensors", "PIL", "unearth"),
    "energy": ("codecarbon", "pynvml"),
    "plots": ("matplotlib", "adjustText"),
    "spect": ("nibabel", "pydicom"),
    "register": ("SimpleITK",),
    "openvino": ("openvino",),
    "parquet": ("pyarrow",),
    "xlsx": ("openpyxl",),
    "zstd": ("zstandard",),
    "dask": ("distributed",),
    "slurm": ("submitit", "distributed"),
}


def find_missing(extra: str) -> str:
    """Name the first package of an extra that is not installed, and how to have it; empty where all are."""
    return next((describe_missing(module) for module in EXTRAS[extra] if not is_installed(module)), "")


def describe_missing(module: str) -> str:
    """Say that there is no such package, and which extra brings it; empty for a module of no extra."""
    extra = next((name for name, modules in EXTRAS.items() if module.partition(".")[0] in modules), "")
    return f"no package {module.partition('.')[0]}; install dlmi-bench[{extra}]" if extra else ""


def is_installed(module: str) -> bool:
    """Look for a module without importing it."""
    try:
        return find_spec(module) is not None
    except ValueError:  # one that is loaded and has no specification
        return True
