"""Packed weights of real files, from the training to the report."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import dlmi_bench as db
from dlmi_bench.backends.export import write_onnx
from dlmi_bench.backends.quantization import write_int8
from dlmi_bench.instruments.onnx.contents import count_parameters, list_parameters
from dlmi_bench.instruments.packing.container import pack, pack_smaller, unpack
from dlmi_bench.instruments.packing.figures import MAX_FILE_BYTES, measure_file_packing
from dlmi_bench.jobs import plugins
from dlmi_bench.records import Figure
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import read_artifact
from dlmi_models import MODELS
from dlmi_reports.claims.verdicts import judge_store
from dlmi_reports.page import make_page
from dlmi_reports.results.load import load_results
from dlmi_tasks import TASKS
from report_stores import fill_store, measured_records
from stand_ins import Command

INPUT = (1, 16, 16)


def put_on_grid(weight: torch.Tensor, most: int) -> torch.Tensor:
    """The weight with each output channel on a grid of its own."""
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True) / most
    return torch.round(weight / scale) * scale + 0.0


def export(path: Path, most: int | None = None) -> Path:
    """Export cnn-4; on a grid afterwards, since folding the normalisation into the weights rounds them again."""
    torch.manual_seed(0)
    write_onnx(MODELS["cnn-4"].build(), INPUT, path)
    model = onnx.load(path)
    for tensor in list_parameters(model) if most else []:
        weight = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        if most and weight.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(put_on_grid(weight, most).numpy(), tensor.name))
    onnx.save(model, path)
    return path


def list_arrays(path: Path) -> list[np.ndarray]:
    return [numpy_helper.to_array(tensor) for tensor in list_parameters(onnx.load(path))]


def check_file(path: Path) -> None:
    """All numbers of the file come back in its order."""
    wanted, found = list_arrays(path), unpack(pack(onnx.load(path)))
    assert [(a.dtype, a.shape) for a in found] == [(a.dtype, a.shape) for a in wanted]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(found, wanted, strict=True))
    assert sum(array.size for array in found) == count_parameters(onnx.load(path))


def measure(path: Path) -> dict[str, float]:
    figures = measure_file_packing(path)
    return {str(f.conditions.get("artifact", f.name)): f.value for f in figures if f.value is not None}


def test_exported_net_on_a_grid_of_3_bits(tmp_path: Path) -> None:
    """Three bits a weight and a scale for each output channel, found in the file."""
    path = export(tmp_path / "a.onnx", 3)
    check_file(path)
    found, arrays = measure(path), list_arrays(path)
    weights = [array for array in arrays if array.ndim > 1]
    n, n_others = sum(w.size for w in weights), sum(array.size for array in arrays if array.ndim < 2)
    most = sum(4 * len(w) + -(-3 * w.size // 8) for w in weights)  # float32 scales, three bits, dense
    assert (found["n_weights"], found["n_nonzero"]) == (n, sum(int((w != 0).sum()) for w in weights))
    assert found["weight_bits"] * n / 8 <= most
    assert most + 4 * n_others < len(pack(onnx.load(path), "dense")) < most + 4 * n_others + 7 + 7 * len(arrays)
    assert found["float32"] == 4 * (n + n_others)


def test_files_of_8_bit_integers(tmp_path: Path) -> None:
    """A byte a weight, scales and zero points beside it; biases are integers of 4 bytes."""
    export(tmp_path / "a.onnx")
    images = np.random.default_rng(0).random((100, *INPUT), np.float32)
    write_int8(tmp_path / "a.onnx", images, tmp_path / "int8.onnx")
    check_file(tmp_path / "int8.onnx")
    plain, small = measure(tmp_path / "a.onnx"), measure(tmp_path / "int8.onnx")
    assert plain["n_weights"] == small["n_weights"]
    assert (plain["weight_bits"], 8 <= small["weight_bits"] < 9) == (32, True)
    assert pack_smaller(onnx.load(tmp_path / "int8.onnx")) is None
    assert pack_smaller(onnx.load(tmp_path / "a.onnx")) is None


def test_weights_in_another_file_are_packed_with_it(tmp_path: Path) -> None:
    export(tmp_path / "a.onnx", 7)
    whole = measure(tmp_path / "a.onnx")
    onnx.save(onnx.load(tmp_path / "a.onnx"), tmp_path / "b.onnx", save_as_external_data=True, size_threshold=0)
    assert measure(tmp_path / "b.onnx") == whole
    (data,) = [path for path in tmp_path.iterdir() if path.suffix != ".onnx"]
    data.unlink()
    assert {figure.value for figure in measure_file_packing(tmp_path / "b.onnx")} == {None}


def test_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """A sparse file beside the model stands for hundreds of megabytes."""
    export(tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.save(model, tmp_path / "b.onnx", save_as_external_data=True, size_threshold=0, location="data")
    with (tmp_path / "data").open("r+b") as file:
        file.truncate(MAX_FILE_BYTES)
    assert {f.reason for f in measure_file_packing(tmp_path / "b.onnx")} == {
        "files of more than 128 MiB are not packed"
    }


def test_diverged_net_is_kept_as_it_is(tmp_path: Path) -> None:
    """NaN in the file, as a training leaves it that diverged."""
    model = onnx.load(export(tmp_path / "a.onnx", 3))
    tensor = next(t for t in list_parameters(model) if len(t.dims) > 1)
    weight = numpy_helper.to_array(tensor).copy()
    weight[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, tmp_path / "b.onnx")
    check_file(tmp_path / "b.onnx")


def test_command_shows_sizes_by_what_they_are_of(command: Command) -> None:
    """In words and in JSON."""
    export(command.folder / "a.onnx", 1)
    text = command("count", "a.onnx").stdout
    assert all(
        f"size_bytes ({name})" in text for name in ("onnx", "float32", "packed", "packed+zstd", "bitmap", "gaps")
    )
    figures = json.loads(command("count", "a.onnx", "--json").stdout)["figures"]
    (packed,) = [f["value"] for f in figures if f["conditions"].get("artifact") == "packed"]
    assert packed == len(pack(onnx.load(command.folder / "a.onnx")))


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def fit(network: nn.Module, *_: object, **__: object) -> None:
    """Put the one layer on a ternary grid."""
    with torch.no_grad():
        for weight in (w for w in network.parameters() if w.ndim > 1):
            weight.copy_(put_on_grid(weight, 1))


@pytest.fixture
def own_names() -> Iterator[None]:
    """For studies in this process, which name models and tasks: forgotten afterwards."""
    tables = (MODELS, TASKS, plugins.KNOWN.models, plugins.KNOWN.tasks)
    before = [dict(table) for table in tables]
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)


@pytest.mark.usefixtures("own_settings", "own_names")
def test_training_keeps_what_packing_makes_smaller(tmp_path: Path) -> None:
    """A ternary net beside an ordinary one: its packed file, its figures, its row of the report, claims about it."""
    labels = np.arange(120) % 2
    images = np.random.default_rng(0).normal(size=(120, 1, 4, 4)).astype("float32")
    task = db.Task.from_arrays(images, labels, name="mine", recipe=db.Recipe(n_epochs=1, augmentation="none"))
    suite = db.Suite(n_processes=2, n_rounds=10, energy_window_s=0.2, backends=("onnxruntime",), measures=("counts",))
    out = tmp_path / "out"
    study = db.compare({"plain": Line, "ternary": db.Model(Line, fit=fit)}, task, seeds=2, out=out, suite=suite)
    store = Store(out, must_exist=True)
    models = load_results(store).tasks["mine"].models
    training, counts = models["ternary"].trainings[0], models["ternary"].measured["counts"]
    content = read_artifact(out, training.artifact("packed"))
    onnx_file = tmp_path / "a.onnx"
    onnx_file.write_bytes(read_artifact(out, training.artifact("onnx")))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(unpack(content), list_arrays(onnx_file), strict=True))
    packed = counts.figure("size_bytes", artifact="packed")
    assert packed is not None
    assert packed.value == len(content) == training.artifact("packed").size_bytes
    assert not any(a.role == "packed" for a in models["plain"].trainings[0].artifacts)
    assert counts.figure("size_bytes", artifact="onnx").value == training.artifact("onnx").size_bytes  # type: ignore[union-attr]
    rows = {row["model"]: row for row in study.list_rows()}
    assert (rows["ternary"]["packed_bytes"], rows["plain"]["n_nonzero"]) == (len(content), 32)
    (table,) = [t for s in make_page(load_results(store)).sections for t in s.folded if t.title == "Size"]
    (row,) = [row for row in table.rows if row[0] == "ternary"]
    assert row[1:3] == ["34", "34"]
    assert row[6] == str(len(content))
    check_claims(store, tmp_path)


CLAIM = """
[[claim]]
id = "{label}-{kind}"
kind = "{kind}"
task = "mine"
model = "ternary"
against = ["plain"]
metric = "{metric}"
sentence = "It is smaller."
source = "a test"
"""


def make_claim(metric: str, kind: str) -> str:
    return CLAIM.format(label=metric.replace("_", "-"), metric=metric, kind=kind)


def check_claims(store: Store, folder: Path) -> None:
    kinds = ("ordered", "ratio")
    claims = [make_claim(m, k) for m in ("packed_bytes", "n_nonzero") for k in kinds]
    (folder / "claims.toml").write_text("\n".join(claims))
    verdicts = {j.claim.id: j.verdict.value for j in judge_store(store, folder / "claims.toml").judgements}
    assert {verdicts[f"packed-bytes-{kind}"] for kind in kinds} == {"SUPPORTED"}
    assert verdicts.keys() == {f"{m}-{k}" for m in ("packed-bytes", "n-nonzero") for k in kinds}


def make_counts(model: str, n_nonzero: int) -> tuple[Figure, ...]:
    sizes = {"float32": 4000, "packed": 2048, "packed+zstd": 1000}
    return (
        Figure(name="n_nonzero", value=n_nonzero, kind="counted", source="ONNX graph"),
        *(
            Figure(name="size_bytes", value=value, kind="counted", source="x", conditions={"artifact": name})
            for name, value in sizes.items()
        ),
    )


def test_old_results_have_the_usual_marks(tmp_path: Path) -> None:
    """A store without these figures has no table; beside a model that has them, another is marked as not measured."""
    store = fill_store(tmp_path)
    assert not [t for s in make_page(load_results(store)).sections for t in s.folded if t.title == "Size"]
    counts = next(r for r in measured_records("small", 1000, 1e-5) if r.cell.kind == "counts")
    store.add_done([(counts.model_copy(update={"figures": (*counts.figures, *make_counts("small", 700))}), "f")])
    page = make_page(load_results(store))
    (table,) = [t for s in page.sections for t in s.folded if t.title == "Size"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["small"][:7] == ["1 000", "not measured", "700", "not measured", "4 000", "2 048", "1 000"]
    assert rows["large"][1:7] == ["not measured"] * 6
    glance = next(s.glance for s in page.sections if s.glance)
    assert {"nonzero weights", "packed"} <= {plot.label for plot in glance.plots}


def test_count_of_zero_has_no_ratio(tmp_path: Path) -> None:
    """A net without nonzero weights: in no front, and a claim about a ratio is not measured."""
    store = fill_store(tmp_path)
    for model, n in (("small", 0), ("large", 5)):
        counts = next(r for r in measured_records(model, 1000, 1e-5) if r.cell.kind == "counts")
        store.add_done([(counts.model_copy(update={"figures": (*counts.figures, *make_counts(model, n))}), "f")])
    claims = tmp_path / "claims.toml"
    text = "\n".join(make_claim("n_nonzero", kind) for kind in ("ratio", "ordered"))
    claims.write_text(text.replace("mine", "toy").replace("ternary", "small").replace("plain", "large"))
    verdicts = {j.claim.id: j.verdict.value for j in judge_store(store, claims).judgements}
    assert verdicts == {"n-nonzero-ratio": "NOT MEASURED", "n-nonzero-ordered": "SUPPORTED"}
    make_page(load_results(store))
