"""A model in timm's style on an .npz file in MedMNIST's layout: `python medmnist_npz.py`."""

from pathlib import Path

from synthetic import CLASS_NAMES, write_npz
from torch import Tensor, nn

import dlmi_bench as db


class SmallResNet(nn.Module):
    """Two residual blocks; takes num_classes and in_chans, as timm's models do."""

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)) for _ in range(2)
        )
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


data = Path("out/medmnist/synthetic.npz")
if not data.exists():
    write_npz(data)
task = db.Task.from_npz(
    data, name="blobs-npz", class_names=CLASS_NAMES, is_synthetic=True, recipe=db.Recipe(n_epochs=8, peak_lr=1e-2)
)
suite = db.Suite(n_processes=3, n_rounds=30, backends=("eager", "onnxruntime"), energy_window_s=1.0)
models = {"small-resnet": SmallResNet, "softmax": "softmax"}
study = db.compare(models, task, seeds=3, out="out/medmnist", suite=suite)
print(study)
print(study.claims())
study.report()
