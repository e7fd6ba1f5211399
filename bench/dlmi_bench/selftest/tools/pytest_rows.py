"""pytest-benchmark: the fixture with its defaults; the spins come in the environment, the answer goes to its JSON."""

import json
import os
from typing import Any

import pytest

from dlmi_bench.selftest.spins import make_spin


@pytest.mark.parametrize(("duration_s", "seed"), json.loads(os.environ.get("DLMI_BENCH_SPINS", "[]")))
def test_spin(benchmark: Any, duration_s: float, seed: int) -> None:
    benchmark(make_spin(duration_s, seed))
