"""PNG files with a manifest; every patient is in one fold only: `python patients.py`."""

from pathlib import Path

from synthetic import CLASS_NAMES, write_patients
from torch import nn

import dlmi_bench as db


def make_cnn(n_classes: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv2d(8, 16, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, n_classes)),
    )


manifest = Path("out/patients/images/manifest.csv")
if not manifest.exists():
    write_patients(manifest.parent)
task = db.Task.from_csv(
    manifest,
    image="image",
    label="label",
    group="patient",
    site="site",
    name="blobs-patients",
    class_names=CLASS_NAMES,
    is_synthetic=True,
    n_folds=3,
    recipe=db.Recipe(n_epochs=30, peak_lr=1e-2, batch_size=32),
)
suite = db.Suite(n_processes=3, n_rounds=30, backends=("onnxruntime",), energy_window_s=1.0)
models = {"own-cnn": make_cnn, "softmax": "softmax"}
study = db.compare(models, task, seeds=2, out="out/patients", suite=suite)
print(study)
print(study.claims())
study.report()
