"""How the report grows with the store; `nox -s microbench`."""

import time
from pathlib import Path

import pytest

from dlmi_bench.instruments.memory import measure_peak_memory
from dlmi_bench.store import Store
from dlmi_reports import write_report
from report_stores import measured_records, train_record

N_MODELS = 20
FIGURES_PER_TRAINING = 5
LIMITS_S = {1_000: 10, 10_000: 10, 200_000: 60}  # by the number of figures


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("n_figures", "limit_s"), [*LIMITS_S.items(), pytest.param(1_000_000, 200, marks=pytest.mark.slow)]
)
def test_report_of_many_figures(tmp_path: Path, n_figures: int, limit_s: float) -> None:
    """Every format of 10 000 figures in 10 s, of 200 000 in 60 s, of 1 000 000 in 1.5 GiB; the page under 2 MB.

    The million is for `nox -s microbench -- -m "benchmark and slow"`; its limit leaves room for neighbours.
    """
    store = Store(tmp_path)
    for m in range(N_MODELS):
        trainings = [
            train_record(f"model-{m}", i, 0.7 + m / 100 + i % 7 / 500, 1.0 + i % 13 if i % 9 else None)
            for i in range(n_figures // FIGURES_PER_TRAINING // N_MODELS)
        ]
        measured = measured_records(f"model-{m}", 1000 + 900 * m, 1e-5 * (m + 1))
        store.add_done([(record, "f") for record in (*trainings, *measured)])
    written: list[Path] = []
    start_s = time.process_time()  # our own work; a neighbour on the machine is not
    peak = measure_peak_memory(  # of the report; what other tests of this process left behind is not
        lambda: written.extend(write_report(store, tmp_path / "report", ["md", "html", "csv", "latex", "json"]))
    )
    took_s, peak_bytes = time.process_time() - start_s, peak.added_bytes
    (page,) = (path for path in written if path.suffix == ".html")
    print(f"\n{n_figures} figures: {took_s:.1f} s, peak {peak_bytes / 2**30:.2f} GiB, page {page.stat().st_size} B")  # noqa: T201
    assert took_s < limit_s
    assert peak_bytes < 1.5 * 2**30
    assert page.stat().st_size < 2_000_000
