"""pyperf: bench_func; its manager starts this program again for every process. The spins come in the environment."""

import json
import os

import pyperf

from bench.selftest.spins import make_spin

runner = pyperf.Runner()
task = runner.parse_args().worker_task
for index, (duration_s, seed) in enumerate(json.loads(os.environ["DLMI_BENCH_SPINS"])):
    # Each process runs one of them; planning all would take longer than timing it.
    runner.bench_func(f"spin {index}", make_spin(duration_s, seed) if index == task else int)
