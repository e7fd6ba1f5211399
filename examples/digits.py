"""Two nets of your own on scikit-learn's digits: `python digits.py`, then open out/digits/report/report.html."""

from sklearn.datasets import load_digits
from torch import nn

import dlmi_bench as db


def make_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def make_cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))


images, labels = load_digits(return_X_y=True)
task = db.Task.from_arrays(images.reshape(-1, 1, 8, 8), labels, name="digits")
quick = db.Suite(n_processes=3, n_rounds=30, backends=("onnxruntime",), energy_window_s=1.0)
study = db.compare({"mlp": make_mlp, "cnn": make_cnn}, task, seeds=3, out="out/digits", suite=quick)
print(study)
print(study.claims())
study.report()
