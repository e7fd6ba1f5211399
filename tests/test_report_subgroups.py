"""Subgroups in reports: bands, pooled seeds, small ones, and what a training keeps of them."""

import json
from pathlib import Path

import numpy as np
import pytest

import dlmi_bench as db
from dlmi_reports.tables.subgroups import band
from stand_ins import Command


def test_bands_of_numbers() -> None:
    """Few values stay, words stay, many numbers become three bands with as many examples each."""
    words = np.array(["a", "b", "a"])
    assert band(words) is words
    ages = np.arange(40, 85).astype(str)
    found, counts = np.unique(band(ages), return_counts=True)
    assert found.tolist() == ["40 to 54.6667", "54.6667 to 69.3333", "69.3333 to 84"]
    assert counts.tolist() == [15, 15, 15]
    many = np.array([f"site {i}" for i in range(20)])
    assert band(many) is many


def test_judged_answers_have_subgroups(command: Command) -> None:
    """A table for each column: right where the answers were made so, and a small subgroup says that it is."""
    rows = ["case_id,ground_truth,site,net"]
    for i in range(400):
        site = "small" if i < 6 else "ab"[i % 2]
        rows.append(f"c{i},{i // 2 % 2},{site},{i // 2 % 2 if site != 'b' or i % 3 else 1 - i // 2 % 2}")
    (command.folder / "answers.csv").write_text("\n".join(rows))
    done = command("judge", "answers.csv", "--report", "report", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert command("report", "--out", "out", "--format", "table", "--to", "paper").returncode == 0
    (paper,) = (command.folder / "paper").glob("table-*-by-site*.tex")
    assert r"\label{tab:table-" in paper.read_text(encoding="utf-8")
    text = (command.folder / "report" / "details.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| net | ")]
    by_site = {line.split(" | ")[1]: line for line in lines if line.split(" | ")[1] in ("a", "b", "small")}
    assert "| 197 | 100.0 [" in by_site["a"]
    assert "| 197 | 66.5 [" in by_site["b"]
    assert "too small: 6 examples, 10 are needed" in by_site["small"]


@pytest.mark.slow
@pytest.mark.usefixtures("own_settings")
def test_trainings_keep_sites(tmp_path: Path) -> None:
    """Sites of a task of one's own become subgroups, over seeds and folds; each example counts once."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = rng.normal(size=(120, 1, 4, 4)).astype("float32")
    images[:, 0, 0] += 3 * labels[:, None]
    sites = np.where(np.arange(120) < 40, "north", "south")
    recipe = db.Recipe(n_epochs=2, augmentation="none")
    task = db.Task.from_arrays(images, labels, name="mine", sites=sites, n_folds=2, recipe=recipe)
    suite = db.Suite(n_processes=2, n_rounds=10, energy_window_s=0.2, backends=("onnxruntime",), measures=("counts",))
    study = db.compare(
        {"softmax": "softmax", "mlp-24-16": "mlp-24-16"}, task, seeds=2, out=tmp_path / "out", suite=suite
    )
    study.report(tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    tables = [t for s in report["page"]["sections"] for t in s["folded"] if t["title"] == "By site"]
    rows = [(row[0], row[1], row[2]) for row in tables[0]["rows"]]
    assert rows == [(m, s, n) for m in ("softmax", "mlp-24-16") for s, n in (("north", "40"), ("south", "80"))]
