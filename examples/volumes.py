"""A small 3-D CNN on volumes: `python volumes.py`."""

from synthetic import CLASS_NAMES, draw_blobs
from torch import nn

import dlmi_bench as db


def make_cnn3d(n_classes: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv3d(1, 8, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv3d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, n_classes)),
    )


volumes, labels = draw_blobs(600, (16, 16, 16), seed=0)
task = db.Task.from_arrays(
    volumes[:, None],  # (n, channel, depth, height, width)
    labels,
    name="blobs-3d",
    class_names=CLASS_NAMES,
    is_synthetic=True,
    recipe=db.Recipe(n_epochs=15, peak_lr=1e-2, batch_size=32),
)
suite = db.Suite(n_processes=3, n_rounds=30, backends=("onnxruntime",), energy_window_s=1.0, batches=(1, 8))
models = {"cnn-3d": make_cnn3d, "softmax": "softmax"}
study = db.compare(models, task, seeds=3, out="out/volumes", suite=suite)
print(study)
print(study.claims())
study.report()
