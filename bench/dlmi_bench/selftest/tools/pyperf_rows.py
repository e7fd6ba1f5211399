"""pyperf: bench_func; its manager starts this program again for every process. The spins come in the environment."""

import json
import os
from itertools import count
from typing import Any

import pyperf

from dlmi_bench.selftest.spins import choose_seed, make_spin

processes = count()


def number_process(command: list[str], _: Any) -> None:
    """Called by the manager with each command of a process that it starts."""
    command.append(f"--number={next(processes)}")


runner = pyperf.Runner(add_cmdline_args=number_process)
runner.argparser.add_argument("--number", type=int, default=0, help="of this process")
options = runner.parse_args()
for index, (duration_s, seed) in enumerate(json.loads(os.environ["DLMI_BENCH_SPINS"])):
    # Each process runs one of them; planning all would take longer than timing it.
    is_mine = index == options.worker_task
    runner.bench_func(f"spin {index}", make_spin(duration_s, choose_seed(seed, options.number)) if is_mine else int)
