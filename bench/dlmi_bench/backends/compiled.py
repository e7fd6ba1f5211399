"""torch.compile on the CPU: one static program for each shape of batch, with or without frozen weights.

The first call with a shape compiles it, so its cold start is that of the compiler or of its cache on disk.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor, nn
from torch._inductor import config

from dlmi_bench.backends import Batch, Scores, run_in_parts
from dlmi_bench.backends.eager import EagerRunner, load_network
from dlmi_bench.errors import UnavailableError

# `run` cuts what is larger and not prepared into batches of this size, so that it needs one program only.
RUN_BATCH = 64


class CompiledRunner(EagerRunner):
    """A network whose calls are compiled when they are first made."""

    def __init__(self, network: nn.Module, *, n_threads: int, is_frozen: bool) -> None:
        super().__init__(network, n_threads=n_threads)
        config.compile_threads = 1  # no pool of compilers that outlives the compilation
        self._is_frozen = is_frozen
        self._programs: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        return super().conditions | {"compiler": "inductor", "freezing": self._is_frozen, "shapes": "static"}

    def _find_program(self, shape: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
        if shape not in self._programs:
            self._programs[shape] = self._compile(f"forward_{len(self._programs)}")
        return self._programs[shape]

    def _compile(self, name: str) -> Callable[[Tensor], Tensor]:
        """A program of its own: torch keeps programs by code object and searches all that share one at every call."""
        network = self._network

        def forward(inputs: Tensor) -> Tensor:
            return network(inputs)

        code = forward.__code__.replace(co_name=name)
        own = FunctionType(code, globals(), code.co_name, None, forward.__closure__)
        return torch.compile(own, fullgraph=True, dynamic=False)

    def prepare(self, batch: Batch) -> Callable[[], object]:
        program, inputs = self._find_program(batch.shape), torch.from_numpy(batch)
        return lambda: program(inputs)

    @contextmanager
    def active(self) -> Iterator[None]:
        # Freezing is read when a call is compiled, and must be on outside of the compiler too.
        with torch.inference_mode(), config.patch(freezing=self._is_frozen):
            yield

    def run(self, batch: Batch) -> Scores:
        size = len(batch) if batch.shape in self._programs else min(len(batch), RUN_BATCH)
        program = self._find_program((size, *batch.shape[1:]))
        with self.active(), compiler_faults():
            return run_in_parts(lambda part: program(torch.from_numpy(part)).numpy(), batch, size)


@contextmanager
def compiler_faults() -> Iterator[None]:
    """Turn the lack of a working C++ compiler, which torch finds out late, into UnavailableError."""
    from torch._inductor.exc import CppCompileError, InductorError, InvalidCxxCompiler

    try:
        yield
    except (CppCompileError, InductorError, InvalidCxxCompiler) as error:
        inner = getattr(error, "inner_exception", error)
        if not isinstance(inner, CppCompileError | InvalidCxxCompiler):
            raise
        cause = f"the C++ compiler does not work: {str(inner).splitlines()[0]}"
        raise UnavailableError(cause, "install g++ or set CXX to one that works") from error


def load(path: Path, *, n_threads: int = 1, is_frozen: bool = False) -> CompiledRunner:
    return CompiledRunner(load_network(path), n_threads=n_threads, is_frozen=is_frozen)


def load_empty(*, n_threads: int = 1, is_frozen: bool = False) -> CompiledRunner:
    return CompiledRunner(nn.Identity(), n_threads=n_threads, is_frozen=is_frozen)
