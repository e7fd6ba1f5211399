"""AOTInductor on the CPU: compiled ahead of time to a package, which the user's cache keeps under a hash.

The hash covers weights, what is done with them (both by their file), input shape, threads, torch, compiler and machine:
what the compiler made its choices by. It leaves out which CPUs this process may use, so that one that is pinned
otherwise finds the same package.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from platformdirs import user_cache_path
from torch import nn

from dlmi_bench.backends import Batch
from dlmi_bench.backends.compiled import compiler_faults
from dlmi_bench.backends.eager import EagerRunner, load_network
from dlmi_bench.backends.export import export_program
from dlmi_bench.instruments.host.provenance import describe_compiler, describe_machine

MACHINE = ("cpu", "architecture", "system")

Program = Callable[[torch.Tensor], torch.Tensor]


class AheadRunner(EagerRunner):
    """A network that is compiled, or found compiled, when the shape of its input is known.

    Args:
        identity: What tells the network from any other.
    """

    def __init__(self, network: nn.Module, identity: str, *, n_threads: int) -> None:
        super().__init__(network, n_threads=n_threads)
        self._identity = identity
        self._programs: dict[tuple[int, ...], Program] = {}

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        return super().conditions | {"compiler": "aotinductor", "run_single_threaded": True, "shapes": "free batch"}

    def prepare(self, batch: Batch) -> Callable[[], object]:
        shape = batch.shape[1:]
        if shape not in self._programs:
            path = self._find_package(shape)
            self._programs[shape] = torch._inductor.aoti_load_package(str(path), run_single_threaded=True)
        program, inputs = self._programs[shape], torch.from_numpy(batch)
        return lambda: program(inputs)

    def _find_package(self, shape: tuple[int, ...]) -> Path:
        path = self._make_path(shape)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=path.parent) as folder:
                _compile(self._network, shape, Path(folder, "a.pt2")).replace(path)
        return path

    def _make_path(self, shape: tuple[int, ...]) -> Path:
        machine = [describe_machine()[field] for field in MACHINE]
        parts = (self._identity, shape, torch.get_num_threads(), torch.__version__, describe_compiler(), machine)
        key = hashlib.sha256(repr(parts).encode()).hexdigest()
        return user_cache_path("dlmi-bench", appauthor=False) / "aotinductor" / f"{key}.pt2"


def _compile(network: nn.Module, shape: tuple[int, ...], path: Path) -> Path:
    with compiler_faults():
        program = export_program(network, shape)
        return Path(torch._inductor.aoti_compile_and_package(program, package_path=str(path)))


def load(path: Path, *, n_threads: int = 1) -> AheadRunner:
    identity = hashlib.sha256(path.read_bytes()).hexdigest()
    return AheadRunner(load_network(path), identity, n_threads=n_threads)


def load_empty(*, n_threads: int = 1) -> AheadRunner:
    return AheadRunner(nn.Identity(), "empty", n_threads=n_threads)
