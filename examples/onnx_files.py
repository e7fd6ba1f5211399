"""ONNX files from elsewhere in one table: `python export_onnx.py && python onnx_files.py`; the first is elsewhere."""

from pathlib import Path

from synthetic import CLASS_NAMES

import dlmi_bench as db

folder = Path("out/onnx")
task = db.Task.from_npz(
    folder / "blobs.npz", name="blobs", class_names=CLASS_NAMES, is_synthetic=True, normalisation="none"
)
models = {f"width-{width}": str(folder / f"width-{width}-seed-0.onnx") for width in (2, 4, 16, 32)}
seeds = {seed: folder / f"width-8-seed-{seed}.onnx" for seed in (0, 1)}
suite = db.Suite(
    n_processes=3,
    n_rounds=30,
    energy_window_s=1.0,
    batches=(1,),
    backends=("onnxruntime", "onnxruntime-binding", "onnxruntime-int8"),
)
study = db.compare(
    {"width-8": db.Model.from_checkpoints(seeds), **models},
    task,
    seeds=2,
    out=folder,
    claims=Path(__file__).with_name("onnx_claims.toml"),
    suite=suite,
)
print(study)

# Accuracy, size, and latency on each runtime side by side. What a busy machine made INVALID stays empty.
table = study.to_dataframe().set_index("model")[["test_accuracy", "size_bytes"]]
for figure in db.load_results(folder).rows:
    is_usable = figure["value"] is not None and not any(note.startswith("INVALID") for note in figure["notes"])
    if figure["name"] == "latency_s" and is_usable:
        table.loc[figure["model"], f"{figure['conditions']['backend']} [us]"] = 1e6 * figure["value"]
print(table.round(3).to_string())

print(study.claims())
study.report()
