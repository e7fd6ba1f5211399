"""pytorch-benchmark: a module whose forward is the spin, with the default of 100 runs."""

import json
import sys

import torch
from pytorch_benchmark import benchmark
from torch import Tensor, nn

from dlmi_bench.selftest.spins import make_spin


class Module(nn.Module):
    def __init__(self, duration_s: float, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.spin = make_spin(duration_s, seed)

    def forward(self, x: Tensor) -> Tensor:
        self.spin()
        return x


found = []
for duration_s, seed in json.loads(sys.argv[1]):
    read = benchmark(Module(duration_s, seed), torch.zeros(1, 1))
    timing = read["timing"]["batch_size_1"]["on_device_inference"]["metrics"]
    names = {"centre_s": "mean", "spread_s": "std", "most_s": "max"}
    found.append({key: timing[f"seconds_per_batch_{name}"] for key, name in names.items()} | {"n": 100})
print(json.dumps(found))  # noqa: T201 - the answer of this program
