"""From network to artifact to runtime and back."""

import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from dlmi_bench.backends import BACKENDS, Batch, needs, predict
from dlmi_bench.backends.aoti import AheadRunner
from dlmi_bench.backends.export import write_onnx, write_torch
from dlmi_bench.backends.quantization import write_int8
from dlmi_bench.errors import DataError, MeasurementError, UnavailableError, UsageError
from dlmi_bench.instruments.host.provenance import describe_machine
from dlmi_bench.jobs.measurement import check_outputs
from dlmi_models import MODELS, ModelEntry
from stand_ins import PRODUCT, plant, write_product

ROOT = Path(__file__).parent.parent
INPUT = (1, 16, 16)
LIGHT = ["eager", "onnxruntime", "onnxruntime-binding", "onnxruntime-int8", "openvino", "openvino-bf16"]


def export(name: str, folder: Path) -> dict[str, Path]:
    torch.manual_seed(0)
    network = MODELS[name].build().train()
    for _ in range(3):  # gives the normalisation statistics that are not 0 and 1
        network(torch.randn(8, *INPUT))
    paths = {"torch": folder / "a.safetensors", "onnx": folder / "a.onnx", "onnx-int8": folder / "int8.onnx"}
    write_torch(network, name, INPUT, paths["torch"])
    write_onnx(network, INPUT, paths["onnx"])
    write_int8(paths["onnx"], make_images(100), paths["onnx-int8"])
    return paths


def make_images(n: int) -> Batch:
    return np.random.default_rng(0).standard_normal((n, *INPUT)).astype(np.float32)


def check_backend(backend: str, name: str, folder: Path) -> None:
    """Scores of every call path within the precision's rounding of eager's, at batch sizes 1, 2 and 7."""
    paths, entry, images = export(name, folder), BACKENDS[backend], make_images(7)
    if missing := entry.find_missing():
        with pytest.raises(UnavailableError, match=re.escape(missing)):
            entry.load(paths[entry.artifact_role])
        pytest.skip(missing)
    tolerance = {"float32": 1e-5, "int8": 0.05, "bfloat16": 0.02}[entry.precision]
    reference = BACKENDS["eager"].load(paths["torch"]).run(images)
    assert np.ptp(reference, axis=0).min() > 1e-3
    runner = entry.load(paths[entry.artifact_role])
    for batch in (1, 2, 7):
        assert np.allclose(predict(runner, images, batch), reference, atol=tolerance)
    calls = [runner.prepare(images[:n].copy()) for n in (1, 7)]  # inputs that nobody else keeps alive
    with runner.active():
        assert np.allclose(runner.read(calls[1]()), reference, atol=tolerance)
        assert np.allclose(runner.read(calls[0]()), reference[:1], atol=tolerance)
    assert runner.conditions["precision"] == entry.precision
    assert runner.conditions["threads"] == 1
    assert str(runner.conditions["version"]).startswith(f"{entry.package} ")
    assert np.array_equal(entry.load_empty().run(images), images)


@pytest.mark.parametrize("name", ["mlp-64-32", "cnn-4"])
@pytest.mark.parametrize("backend", LIGHT)
def test_backend_agrees_with_eager(backend: str, name: str, tmp_path: Path) -> None:
    """Every runtime that needs no compiler gives eager's scores, and its empty program returns its input."""
    check_backend(backend, name, tmp_path)


@pytest.mark.parametrize("batch", ["free", 1, 3])
@pytest.mark.parametrize("backend", [name for name in LIGHT if BACKENDS[name].artifact_role != "torch"])
def test_file_with_a_batch_of_its_own(backend: str, batch: int | str, tmp_path: Path) -> None:
    """Any input name and any batch: all examples are answered, a call is of the file's size and no other."""
    entry, images = BACKENDS[backend], make_images(16)[:, 0, 0, :6]
    if missing := entry.find_missing():
        pytest.skip(missing)
    paths = {"onnx": write_product(tmp_path / "a.onnx", batch=batch), "onnx-int8": tmp_path / "int8.onnx"}
    write_int8(paths["onnx"], images, paths["onnx-int8"])
    runner = entry.load(paths[entry.artifact_role])
    tolerance = 1e-5 if entry.precision == "float32" else 0.05
    assert np.allclose(predict(runner, images, 8), images @ PRODUCT, atol=tolerance)
    size = batch if isinstance(batch, int) else 4
    assert np.allclose(runner.read(runner.prepare(images[:size])()), images[:size] @ PRODUCT, atol=tolerance)
    if size != 4:
        with pytest.raises(UsageError, match=f"batches of {size} only, not of 4"):
            runner.prepare(images[:4])


def test_file_that_onnxruntime_cannot_load_is_named(tmp_path: Path) -> None:
    """An operator of nobody's, or an input of another size: the runtime's own words, and what to do."""
    with pytest.raises(DataError, match=r"does not load the file: .*Magic"):
        BACKENDS["onnxruntime"].load(write_product(tmp_path / "a.onnx", last="Magic"))
    runner = BACKENDS["onnxruntime"].load(write_product(tmp_path / "b.onnx"))
    with pytest.raises(DataError, match=r"does not run the file: .*dimensions"):
        runner.run(make_images(1)[:, 0, 0, :5])


def test_int8_needs_a_newer_operator_set(tmp_path: Path) -> None:
    """Before version 13 there are no scales by channel: an error, where the file would be written and not load."""
    model = write_product(tmp_path / "a.onnx", opset=11)
    with pytest.raises(DataError, match="need operator set 13, not 11"):
        write_int8(model, make_images(2)[:, 0, 0, :6], tmp_path / "b.onnx")


def test_shared_weights_are_written_for_each_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that uses one layer twice has a file, and eager answers from it as the network does."""

    class Shared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = self.second = torch.nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x))

    network = Shared().eval()
    monkeypatch.setitem(MODELS, "shared", ModelEntry("unused", "unused", "shared"))
    monkeypatch.setattr(ModelEntry, "build", lambda *_: Shared())
    write_torch(network, "shared", (6,), tmp_path / "a.safetensors")
    images = make_images(2)[:, 0, 0, :6]
    expected = network(torch.from_numpy(images)).detach().numpy()
    scores = BACKENDS["eager"].load(tmp_path / "a.safetensors").run(images)
    assert np.allclose(scores, expected, rtol=0, atol=1e-6)  # other weights are off by a tenth


@pytest.mark.skipif(bool(needs.find_missing_openvino()), reason="no package openvino")
def test_openvino_sends_no_message() -> None:
    """Its package for telemetry, which opens connections on import, is never loaded."""
    program = (
        "import sys; from dlmi_bench.backends import BACKENDS; BACKENDS['openvino'].load_empty()\n"
        "print([m for m in sys.modules if m.startswith('openvino_telemetry') and sys.modules[m]])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SILENT = {
    "session": "from dlmi_bench.backends import BACKENDS; BACKENDS['onnxruntime'].load_empty()",
    "test of a user": "import pytest; pytest.main(['-p', 'dlmi_bench.gating.plugin', '--dlmi-gate', 'test_x.py'])",
}


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_onnxruntime_sends_no_message(program: str, tmp_path: Path) -> None:
    """Its telemetry, which starts a thread, keeps files and looks up a host, is off in every process."""
    (tmp_path / "test_x.py").write_text("import onnxruntime")
    places = {name: str(tmp_path / name) for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR")}
    for place in places.values():
        Path(place).mkdir()
    # It is silent in CI and its own tests anyway, where this test would prove nothing.
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    program += "; import os, sys; print('onnxruntime' in sys.modules, len(os.listdir('/proc/self/task')))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=kept | places | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "True 1"
    assert [file for place in places.values() for file in Path(place).rglob("*") if file.is_file()] == []


@pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="not a checkout")
def test_onnxruntime_is_imported_where_its_telemetry_is_off() -> None:
    """No module outside of the package that switches it off imports it."""
    sources = [file for name in ("bench", "models", "tasks", "reports") for file in (ROOT / name).rglob("*.py")]
    found = [f for f in sources if re.search(r"^\s*(import|from) onnxruntime\b", f.read_text("utf-8"), re.MULTILINE)]
    assert {file.parent.name for file in found} == {"backends"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about its own internals
@pytest.mark.parametrize("name", ["mlp-64-32", "cnn-4"])
@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - set(LIGHT)))
def test_compiled_backend_agrees_with_eager(backend: str, name: str, tmp_path: Path) -> None:
    """The compiled ones too; those that this machine lacks refuse with the reason."""
    check_backend(backend, name, tmp_path)


@pytest.mark.parametrize("backend", LIGHT)
def test_threads_are_those_asked_for(backend: str, tmp_path: Path) -> None:
    """Two threads are stated as two, and one is the default."""
    entry = BACKENDS[backend]
    if missing := entry.find_missing():
        pytest.skip(missing)
    path = export("softmax", tmp_path)[entry.artifact_role]
    assert entry.load(path, n_threads=2).conditions["threads"] == 2
    assert entry.load_empty(n_threads=2).conditions["threads"] == 2
    assert entry.load(path).conditions["threads"] == 1


@pytest.mark.parametrize("backend", LIGHT)
def test_runtime_that_moves_its_caller_says_so(backend: str, tmp_path: Path) -> None:
    """A process that hops to another CPU is still on it after a call, or the runtime says that it is not."""
    entry = BACKENDS[backend]
    if missing := entry.find_missing():
        pytest.skip(missing)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        runner = entry.load(export("softmax", tmp_path)[entry.artifact_role])
        call = runner.prepare(make_images(1))
        with runner.active():
            for cpu in (*sorted(allowed), min(allowed)):
                os.sched_setaffinity(0, {cpu})
                call()
                assert os.sched_getaffinity(0) == ({min(allowed)} if "pins_caller" in runner.conditions else {cpu})
    finally:
        os.sched_setaffinity(0, allowed)


def test_idle_pools_of_onnxruntime_do_not_spin(tmp_path: Path) -> None:
    """Two sessions of two threads: after a call of one the process sleeps, and the row says that it was told to."""
    path = export("mlp-64-32", tmp_path)["onnx"]
    runners = [BACKENDS["onnxruntime"].load(path, n_threads=2) for _ in range(2)]
    assert runners[0].conditions["force_spinning_stop"] is True
    assert "force_spinning_stop" not in BACKENDS["onnxruntime"].load(path).conditions
    busy_s = 0.0
    for _ in range(10):
        for runner in runners:
            runner.run(make_images(64))
        begin_s = time.process_time()
        time.sleep(0.01)
        busy_s += time.process_time() - begin_s
    assert busy_s < 0.02  # of 0.1 s; pools that spin keep a CPU busy for most of it


def test_torch_runs_one_operator_at_a_time(tmp_path: Path) -> None:
    """One thread between operators, whatever the number within them, and it is recorded."""
    path = export("softmax", tmp_path)["torch"]
    program = (
        "import sys; from pathlib import Path; from dlmi_bench.backends import BACKENDS\n"
        "for n in (2, 1): print(BACKENDS['eager'].load(Path(sys.argv[1]), n_threads=n).conditions['inter_op_threads'])"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def write_flatten(path: Path, sizes: list[str | int]) -> None:
    """The scores of an image are its pixels; `sizes` is what the file says of their shape."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["batch", "channels", 2, 2]), ("y", sizes))
    ]
    graph = helper.make_graph([helper.make_node("Flatten", ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("sizes", [["batch", "classes"], ["batch", 12], ["rows", "classes"]])
def test_outputs_of_free_sizes_are_bound(sizes: list[str | int], tmp_path: Path) -> None:
    """Sizes of the output that the input does not name are measured, not taken from the input's axis."""
    write_flatten(tmp_path / "a.onnx", sizes)
    images = np.arange(60, dtype=np.float32).reshape(5, 3, 2, 2)
    scores = BACKENDS["onnxruntime-binding"].load(tmp_path / "a.onnx").run(images)
    assert np.array_equal(scores, images.reshape(5, 12))


def test_package_does_not_depend_on_the_cpus_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned to one CPU or not, a process finds the same compiled program; of another processor it does not."""
    runner = AheadRunner(torch.nn.Identity(), "weights", n_threads=1)
    paths = []
    for change in ({}, {"n_cpus_allowed": 1}, {"cpu": "another"}):
        machine = {**describe_machine(), "n_cpus_allowed": 2, **change}
        monkeypatch.setattr("dlmi_bench.backends.aoti.describe_machine", lambda machine=machine: machine)
        paths.append(runner._make_path((1, 2, 2)))
    assert paths[0] == paths[1] != paths[2]


def test_file_tells_what_is_done_with_the_weights(tmp_path: Path) -> None:
    """Weights alike, and one network doubles them, adds a constant or a larger one, or has a will of its own."""

    class Scaled(torch.nn.Module):
        def __init__(self, factor: int, *added: float) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(4))
            self.factor, self.added = factor, added

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x * self.weight * self.factor
            return x + torch.tensor(self.added) if self.added else x

    class Wilful(Scaled):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else 2 * x

    networks = [Scaled(1), Scaled(2), Scaled(1, 1.0), Scaled(1, 2.0), Wilful(1), Scaled(1)]
    files = []
    for network in networks:
        write_torch(network, "scaled", (4,), tmp_path / "a.safetensors")
        files.append((tmp_path / "a.safetensors").read_bytes())
    assert len(set(files)) == 5
    assert files[0] == files[-1]


def test_int8_is_smaller_and_depends_on_its_images_alone(tmp_path: Path) -> None:
    """Equal images give equal bytes, others other ranges; 8-bit weights take less room than 32-bit ones."""
    paths = export("mlp-64-32", tmp_path)
    write_int8(paths["onnx"], make_images(100), tmp_path / "again.onnx")
    write_int8(paths["onnx"], 2 * make_images(100), tmp_path / "other.onnx")
    content = paths["onnx-int8"].read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content != (tmp_path / "other.onnx").read_bytes()
    assert len(content) < 0.5 * paths["onnx"].stat().st_size


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that does not run makes the compiled runtimes unavailable, by its name."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    state = BACKENDS["compile"].describe_state()
    assert state == "not available: no C++ compiler (no-such-compiler does not run); install one or set CXX"


def test_compiler_belongs_to_the_state_of_what_it_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another compiler is another program of the compiled runtimes, and of no other."""
    before = {name: entry.describe_state() for name, entry in BACKENDS.items()}
    compiler = plant(tmp_path, {"c++": "#!/bin/sh\necho sea++ 1.2\necho and more\n"}) / "c++"
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    after = {name: entry.describe_state() for name, entry in BACKENDS.items()}
    assert {n for n in BACKENDS if after[n] != before[n]} == {"compile", "compile-freezing", "aotinductor"}
    assert after["compile"] == f"torch {version('torch')}, sea++ 1.2"


def test_runtime_may_come_from_a_package_of_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With onnxruntime-gpu in the place of onnxruntime the state names it and its version; without either, no crash."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nothing")])
    assert BACKENDS["onnxruntime"].describe_state() == "onnxruntime of unknown version"
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    files = {"METADATA": "Name: onnxruntime-gpu\nVersion: 1.23.4\n", "RECORD": "onnxruntime/__init__.py,,\n"}
    plant(tmp_path, {"onnxruntime/__init__.py": ""})  # Python 3.12 lists what lies there only
    plant(tmp_path, {f"onnxruntime_gpu-1.23.4.dist-info/{name}": text for name, text in files.items()})
    assert BACKENDS["onnxruntime"].describe_state() == "onnxruntime-gpu 1.23.4"


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever this machine has; what is found meanwhile is no answer for the tests that follow."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for find in (needs.find_missing_cuda, needs.find_missing_onnxruntime_cuda):
        find.cache_clear()
    yield
    for find in (needs.find_missing_cuda, needs.find_missing_onnxruntime_cuda):
        find.cache_clear()


def test_missing_device_is_named(no_device: None, tmp_path: Path) -> None:
    """Without a device the three CUDA runtimes say so, and refuse to load."""
    for name in ("cuda", "cuda-graphs", "onnxruntime-cuda"):
        assert "CUDA" in BACKENDS[name].describe_state()
        with pytest.raises(UnavailableError, match="CUDA"):
            BACKENDS[name].load(tmp_path / "any")


def test_equal_networks_have_equal_files(tmp_path: Path) -> None:
    """Exporting twice gives the same bytes, which hold no path of this machine."""
    paths = export("cnn-4", tmp_path)
    first = {role: path.read_bytes() for role, path in paths.items()}
    second = {role: path.read_bytes() for role, path in export("cnn-4", tmp_path).items()}
    assert first == second
    assert str(Path(__file__).parent.parent).encode() not in first["onnx"]


def test_layout_in_memory_leaves_no_mark(tmp_path: Path) -> None:
    """A network trained with channels last exports to the same bytes as its contiguous twin."""
    torch.manual_seed(0)
    network = MODELS["cnn-4"].build()
    write_onnx(network, INPUT, tmp_path / "a.onnx")
    write_onnx(network.to(memory_format=torch.channels_last), INPUT, tmp_path / "b.onnx")  # type: ignore[call-overload]
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    """A file that names one model and holds another's weights is an error, and so is one that names none."""
    path = tmp_path / "a.safetensors"
    write_torch(MODELS["mlp-24-16"].build(), "mlp-64-32", INPUT, path)
    with pytest.raises(DataError, match="do not fit mlp-64-32"):
        BACKENDS["eager"].load(path)
    write_torch(MODELS["softmax"].build(), "no-such-model", INPUT, path)
    with pytest.raises(DataError, match="no-such-model"):
        BACKENDS["eager"].load(path)


@pytest.mark.parametrize(
    "name", ["mlp-8", "mlp-8-4", "dct-8-6-4", "window-4-6", "conv-4-4-4", "committee-2-4-4-4", "vit-8-1-1", "cnn-4"]
)
def test_networks_come_back_with_the_classes_they_were_made_for(name: str, tmp_path: Path) -> None:
    """Three classes and another size of image, also where no weight is called out.bias."""
    shape, path = (1, 20, 20), tmp_path / "a.safetensors"
    network = MODELS[name].build(shape, 3).eval()
    write_torch(network, name, shape, path, n_classes=3)
    images = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    scores = BACKENDS["eager"].load(path).run(images)
    assert np.array_equal(scores, network(torch.from_numpy(images)).detach().numpy())


def test_small_scores_are_held_to_their_own_size() -> None:
    """Scores of 3e-5 that read 0 are another program's; what rounding does to terms of size 1 is none's fault."""
    scores = np.linspace(-3e-5, 3e-5, 8, dtype=np.float32).reshape(2, 4)
    with pytest.raises(MeasurementError, match="differ"):
        check_outputs(0 * scores, scores, "x")
    check_outputs(scores + np.float32(1e-7), scores, "x")
    check_outputs(1e4 * scores + np.float32(1e-5), 1e4 * scores, "x")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about its own internals
def test_compiled_program_of_a_large_batch_answers_for_itself(tmp_path: Path) -> None:
    """Once a batch of 65 is prepared no program of 64 is compiled to answer for it."""
    if missing := BACKENDS["compile"].find_missing():
        pytest.skip(missing)
    runner = BACKENDS["compile"].load(export("softmax", tmp_path)["torch"])
    runner.prepare(make_images(65))
    assert runner.run(make_images(65)).shape == (65, 10)
    assert list(runner._programs) == [(65, *INPUT)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("offset", [1e-2, float("nan")])
def test_outputs_of_another_program_are_found(offset: float) -> None:
    """Outputs off by 1e-2, or not a number, void the timing."""
    expected = np.ones((2, 3), np.float32)
    check_outputs(expected + np.float32(1e-6), expected, "x")
    with pytest.raises(MeasurementError, match="differ"):
        check_outputs(expected + np.float32(offset), expected, "x")


def test_safetensors_header_is_plain_json(tmp_path: Path) -> None:
    """Weights are data: the file is a JSON header and numbers."""
    path = tmp_path / "a.safetensors"
    write_torch(MODELS["softmax"].build(), "softmax", INPUT, path)
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    assert content[8 : 8 + size].startswith(b'{"__metadata__":{"model":"softmax ')
