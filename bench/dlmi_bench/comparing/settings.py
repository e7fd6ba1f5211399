"""How finely files are compared, and how long that takes."""

from pydantic import Field

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import UnavailableError, UsageError, list_choices
from dlmi_bench.instruments.latency import BLOCK_S, MIN_WARMUP_S, N_UNTIMED
from dlmi_bench.records import Plain

# Seconds of this machine's like, measured once: a fresh process until it has loaded a runtime, and reading a file.
START_S = 1.2
READ_S = 1.5
FLOP_HZ = 2e10  # of one thread, as small nets reach it


class CompareSettings(Plain):
    """What is measured, and how often.

    Attributes:
        backends: Runtimes; one that cannot run here gives figures that say why.
        batches: Batch sizes at which latency is measured; energy is at the first.
        threads: Numbers of threads at which latency is measured, each in processes of its own.
        n_processes: Fresh processes behind each latency.
        n_rounds: Rounds in each process.
        energy_window_s: Shortest energy window.
    """

    backends: tuple[str, ...] = ("onnxruntime",)
    batches: tuple[int, ...] = Field((1,), min_length=1)
    threads: tuple[int, ...] = Field((1,), min_length=1)
    n_processes: int = Field(5, ge=2, le=100)
    n_rounds: int = Field(100, ge=10, le=100_000)
    energy_window_s: float = Field(1.0, ge=1, le=3600)

    def estimate_s(self, macs: list[float]) -> float:
        """Estimate how long files of so many multiply-accumulates take together [s], within a factor of about two."""
        calls_s = [2 * n * batch / FLOP_HZ for n in macs for batch in self.batches]
        rounds_s = sum(self.n_rounds * (max(BLOCK_S, s) + N_UNTIMED * s) + max(MIN_WARMUP_S, 100 * s) for s in calls_s)
        n_programs = len(macs) * len(self.backends)
        once_s = len(macs) * READ_S + n_programs * (2 * START_S + 2 * self.energy_window_s)
        return once_s + len(self.backends) * len(self.threads) * self.n_processes * (START_S + rounds_s)


def check_onnx_backends(names: tuple[str, ...]) -> tuple[str, ...]:
    """The runtimes themselves, once each of them loads ONNX files and can run here.

    Raises:
        UsageError: one loads no ONNX files.
        UnavailableError: one cannot run on this machine.
    """
    usable = [name for name, entry in BACKENDS.items() if entry.artifact_role.startswith("onnx")]
    for name in names:
        if name not in usable:
            raise UsageError(f"--backend {name}: it loads no ONNX files", list_choices(name, usable))
        if missing := BACKENDS[name].find_missing():
            raise UnavailableError(f"--backend {name}: {missing}", "leave it out, or see `dlmi-bench list backends`")
    return names
