"""Measurements that several parents share, each in a fresh worker."""

from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.instruments.roofline import make_peak_figures
from dlmi_bench.jobs.protocol import PeaksRequest
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Figure


def run_peaks(n_threads: int) -> list[Figure]:
    """Measure the machine's peaks with so many threads; none where it has fewer CPUs."""
    if not _has_cpus(n_threads):
        return []
    with Worker(n_threads=n_threads) as worker:
        peaks = worker.ask(PeaksRequest(n_threads=n_threads))
    return make_peak_figures([*peaks], n_threads)


def _has_cpus(n_threads: int) -> bool:
    return n_threads == 1 or n_threads <= len(list_cpus())
