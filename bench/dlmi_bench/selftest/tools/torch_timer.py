"""torch.utils.benchmark: blocked_autorange with its defaults."""

import json
import sys

from torch.utils.benchmark import Timer

from dlmi_bench.selftest.spins import make_spin

found = []
for duration_s, seed in json.loads(sys.argv[1]):
    read = Timer("spin()", globals={"spin": make_spin(duration_s, seed)}).blocked_autorange()
    n = len(read.times) * read.number_per_run
    found.append({"centre_s": read.median, "spread_s": read.iqr, "n": n, "most_s": max(read.times)})
print(json.dumps(found))  # noqa: T201 - the answer of this program
