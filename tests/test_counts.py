"""Counting: the ONNX graph against hand formulas, the counters against each other, and the command."""

import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from dlmi_bench.backends.export import write_onnx
from dlmi_bench.backends.quantization import write_int8
from dlmi_bench.errors import BenchError, DataError, UsageError
from dlmi_bench.instruments.counts import measure_counts
from dlmi_bench.instruments.counts.dispatch import count_by_dispatch
from dlmi_bench.instruments.counts.graph import count_by_graph
from dlmi_bench.instruments.counts.products import Products
from dlmi_bench.instruments.onnx.contents import count_parameters
from dlmi_bench.instruments.onnx.external import list_external_files
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import read_signature
from dlmi_bench.jobs.counting import make_macs_figures
from dlmi_bench.jobs.subject import parse_subject
from dlmi_bench.records import Note
from dlmi_models import MODELS
from stand_ins import Command, write_product

INPUT = (1, 16, 16)


def make_model(nodes: list[onnx.NodeProto], shape: list[int | str], **weights: list[int]) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.ones(dims, np.float32), name) for name, dims in weights.items()]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))]
    graph = helper.make_graph(nodes, "g", ports, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("name", ["cnn-4"])
def test_exported_graph_has_the_macs_of_the_network(name: str, tmp_path: Path) -> None:
    """The exported file multiplies as often as the closed form says, with every operator covered."""
    write_onnx(MODELS[name].build(), INPUT, tmp_path / "a.onnx")
    products = count_by_graph(load_graph(tmp_path / "a.onnx"), INPUT)
    assert (products.macs, products.coverage) == (MODELS[name].compute_macs(INPUT), 1.0)


@pytest.mark.parametrize(
    ("node", "shape", "weights", "macs"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], group=2, strides=[2, 2]), [1, 4, 9, 9], [6, 2, 3, 3], 6 * 16 * 18),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), [1, 4, 5, 5], [4, 3, 2, 2], 100 * 12),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), [1, 7], [5, 7], 35),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), [1, 3, 7], [7, 5], 105),
    ],
)
def test_graph_formulas(node: onnx.NodeProto, shape: list[int], weights: list[int], macs: int) -> None:
    """Groups, strides, transposition and leading axes as by hand."""
    assert count_by_graph(make_model([node], shape, w=weights), tuple(shape[1:])).macs == macs


def test_operators_without_a_formula_are_named() -> None:
    """An operator that might multiply and has no formula lowers the coverage; one that cannot does not."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Einsum", ["b", "w"], ["y"], equation="ij,jk->ik"),
    ]
    products = count_by_graph(make_model(nodes, [1, 3], w=[3, 3]), (3,))
    assert (products.macs, products.uncounted, products.coverage) == (9, {"Einsum": 1}, 0.5)


def test_product_of_unknown_shape_is_named() -> None:
    """A size that inference cannot find is no 0 and no 1: the product is named as uncounted and coverage falls."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("NonZero", ["a"], ["places"]),
        helper.make_node("Cast", ["places"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["v", "b"], ["y"]),
    ]
    products = count_by_graph(make_model(nodes, [1, 3], w=[3, 3], v=[5, 2]), (3,))
    assert (products.macs, products.uncounted, products.coverage) == (9, {"MatMul of unknown shape": 1}, 0.5)


def test_weights_of_unknown_shape_are_named() -> None:
    """A kernel that comes out of an operator without shape inference is not taken for one of a single element."""
    nodes = [
        helper.make_node("Magic", ["w"], ["kernel"], domain="nobody"),
        helper.make_node("Conv", ["x", "kernel"], ["y"], kernel_shape=[3, 3]),
    ]
    model = make_model(nodes, [1, 2, 8, 8], w=[4, 2, 3, 3])
    model.opset_import.add(domain="nobody", version=1)
    products = count_by_graph(model, (2, 8, 8))
    assert (products.macs, products.coverage) == (0, 0.0)
    assert products.uncounted == {"Conv of unknown shape": 1, "nobody.Magic": 1}


def test_branch_and_function_are_counted() -> None:
    """A branch counts, with a note that it may not run; a function of the file is the nodes inside it."""
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    bodies = {f"{name}_branch": helper.make_graph([product], name, [], outputs) for name in ("then", "else")}
    condition = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    branch = make_model([condition, helper.make_node("If", ["c"], ["y"], **bodies)], [1, 3], w=[3, 3])
    products = count_by_graph(branch, (3,))
    assert (products.macs, products.uncounted) == (9, {})
    assert "of each If the branch with more" in products.notes[0]

    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("mine", 1)]
    calling = make_model([helper.make_node("Twice", ["x", "w"], ["y"], domain="mine")], [1, 3], w=[3, 3])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    calling.functions.append(helper.make_function("mine", "Twice", ["x", "w"], ["y"], nodes, opsets))
    calling.opset_import.append(opsets[1])
    products = count_by_graph(calling, (3,))
    assert (products.macs, products.coverage) == (18, 1.0)


def test_quantised_file_multiplies_as_often(tmp_path: Path) -> None:
    """Quantised in place, a network has the count that it had in float32, all of it covered."""
    write_onnx(MODELS["cnn-4"].build(), INPUT, tmp_path / "a.onnx")
    images = np.random.default_rng(0).standard_normal((4, *INPUT)).astype(np.float32)
    write_int8(tmp_path / "a.onnx", images, tmp_path / "b.onnx")
    before, after = (count_by_graph(load_graph(tmp_path / name), INPUT) for name in ("a.onnx", "b.onnx"))
    assert (before.macs, before.coverage) == (after.macs, after.coverage) == (MODELS["cnn-4"].compute_macs(INPUT), 1.0)


@pytest.mark.parametrize("dynamic", [True, False])
def test_products_of_integers_are_counted(dynamic: bool) -> None:
    """A convolution and a matrix product in 8-bit integers, with and without scales of their own."""
    quantised = ["x8", "s", "z"]
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], quantised)]
    if dynamic:
        nodes += [
            helper.make_node("ConvInteger", ["x8", "k"], ["a"]),
            helper.make_node("MatMulInteger", ["x8", "w"], ["b"]),
        ]
    else:
        nodes += [
            helper.make_node("QLinearConv", [*quantised, "k", "s", "z", "s", "z"], ["a"]),
            helper.make_node("QLinearMatMul", [*quantised, "w", "s", "z", "s", "z"], ["b"]),
        ]
    nodes.append(helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT))
    model = make_model(nodes, [1, 2, 4, 4])
    for name, dims in (("k", (3, 2, 3, 3)), ("w", (4, 5))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(dims, np.uint8), name))
    products = count_by_graph(model, (2, 4, 4))
    assert (products.macs, products.coverage) == (3 * 2 * 2 * 18 + 2 * 4 * 5 * 4, 1.0)


@pytest.mark.parametrize("batch", ["free", 1, 4])
def test_file_with_a_fixed_batch_counts_one_example(batch: int | str, tmp_path: Path) -> None:
    """A file that takes four examples at once multiplies a fourth of it for one."""
    products = count_by_graph(load_graph(write_product(tmp_path / "a.onnx", batch=batch)), (6,))
    assert (products.macs, products.n_activations) == (24, 4)


def test_shape_stated_for_another_batch_is_not_believed() -> None:
    """An output that is said to hold four examples, of a file whose batch is free: one is counted."""
    model = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], ["batch", 3], w=[3, 3])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 3]))
    assert count_by_graph(model, (3,)).macs == 9


def test_shapes_that_contradict_each_other_are_an_error() -> None:
    """Weights that an old file lists among its inputs with another size: no count, and a remedy."""
    model = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 3], w=[3, 3])
    weights = model.graph.input.add()
    weights.CopyFrom(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 7]))
    with pytest.raises(DataError, match="contradict"):
        count_by_graph(model, (3,))


def test_two_inputs_are_an_error() -> None:
    """They are named; one example cannot go into both."""
    model = make_model([helper.make_node("Add", ["x", "x2"], ["y"])], [1, 3])
    model.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, [1, 3]))
    with pytest.raises(DataError, match="x, x2"):
        count_by_graph(model, (3,))


def test_counters_that_disagree_are_told() -> None:
    """The trace has no formula for a chain of products, the dispatcher has: 100 % apart, and it says where."""

    class Chain(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.multi_dot([x, self.weight.T, self.weight])

    counts = measure_counts(Chain(4, 3), (4,))
    dispatch, trace = counts.products
    assert dispatch.macs == counts.macs == 2 * 12
    assert trace.macs == 0
    assert trace.uncounted == {"aten::linalg_multi_dot": 1}
    assert trace.coverage == 0.0
    assert counts.disagreement == 1.0
    said = Note(None, "counters disagree by 100.0 %")
    noted = [figure.name for figure in make_macs_figures(counts.products) if said in figure.notes]
    assert noted == ["macs", "macs", "flops"]


def test_recurrent_layers_are_counted_by_both() -> None:
    """3 steps, 4 gates of 5, from 4 inputs and 5 states, by the dispatcher and by the trace."""
    counts = measure_counts(torch.nn.LSTM(4, 5, batch_first=True), (3, 4))
    assert [p.macs for p in counts.products] == [3 * 4 * 5 * (4 + 5)] * 2
    assert [p.coverage for p in counts.products] == [1.0, 1.0]


def test_disagreement_beyond_a_hundredth_is_a_note_on_every_count() -> None:
    """1.0 % between two counters is none, 1.1 % stands beside each count and what is derived from the first."""
    near, far = ((Products("a", "x", 1000), Products("b", "y", n)) for n in (990, 989))
    assert [figure.notes for figure in make_macs_figures(near) if figure.value is not None] == [()] * 3
    assert [figure.notes for figure in make_macs_figures(far) if figure.value is not None] == [
        (Note(None, "counters disagree by 1.1 %"),)
    ] * 3


def test_product_that_the_reference_misses_is_named() -> None:
    """The dispatcher has no formula for a matrix times one vector: its coverage falls and the product is named."""

    class Vector(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.Parameter(torch.ones(3, 4))
            self.out = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Softmax(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out((self.weights @ x[0]).relu()[None])

    dispatch = measure_counts(Vector(), (4,)).products[0]
    assert (dispatch.macs, dispatch.uncounted, dispatch.coverage) == (9, {"aten.mv": 1}, 0.5)


@pytest.mark.parametrize("name", [name for name in MODELS if "+" not in name and "full" not in name])
def test_reference_covers_every_model(name: str) -> None:
    """It has a formula for every call of our architectures that might multiply, and knows the others for harmless."""
    shape = MODELS[name].usual.input_shape
    dispatch = count_by_dispatch(MODELS[name].build().eval().to("meta"), torch.zeros(1, *shape, device="meta"))
    assert (dispatch.macs, dispatch.coverage) == (MODELS[name].compute_macs(shape), 1.0)


def test_training_is_counted_not_assumed() -> None:
    """The first layer forms no gradient of its input: 2 + 2 flops a weight there, 2 + 4 in the others."""
    counts = measure_counts(MODELS["mlp-64-32"].build(), INPUT)
    assert counts.training_flops == 4 * 256 * 64 + 6 * (64 * 32 + 32 * 10)


def test_frozen_weights_cost_less_to_train() -> None:
    """With all but the last layer frozen only its weights get gradients; its multiplications forward stay."""
    network = MODELS["mlp-64-32"].build()
    for layer in (network.hidden1, network.hidden2):
        layer.requires_grad_(False)
    counts = measure_counts(network, INPUT)
    assert counts.n_trainable == 330
    assert counts.training_flops == 2 * counts.macs + 2 * 320


def test_transformer_encoder_is_not_hidden_by_its_fast_path() -> None:
    """torch's encoder layer in evaluation mode, frozen: all counters see projections, attention and perceptron."""
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(False)
    n, d, hidden = 5, 8, 16
    macs = n * d * 3 * d + 2 * n * n * d + n * d * d + 2 * n * d * hidden
    assert [p.macs for p in measure_counts(layer, (n, d)).products] == [macs, macs]


def test_failed_counter_leaves_the_others() -> None:
    """A network that the meta device cannot run is counted by the trace, with the reason of the other."""

    class Branch(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(x) if x.sum().item() < 1 else x

    counts = measure_counts(Branch(), (4,))
    assert counts.macs == 8
    assert "meta" in counts.products[0].reason
    assert counts.training_flops is None


def test_coverage_of_nothing_is_whole() -> None:
    """Without a call that might multiply nothing was missed; a counter that does not tell has no coverage."""
    assert Products("a", "b", 0, n_counted=0).coverage == 1.0
    assert Products("a", "b", 0).coverage is None


def make_constant(name: str, values: np.ndarray) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values, name))


def test_weights_count_wherever_the_file_keeps_them() -> None:
    """12 floats in a node, 12 8-bit integers and their scale, 5 in each branch; neither shapes nor single numbers."""
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    bias = numpy_helper.from_array(np.ones(5, np.float32), "b")
    branch = helper.make_graph([helper.make_node("Identity", ["b"], ["y"])], "b", [], [y], [bias])
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    nodes = [
        make_constant("w", np.ones((3, 4), np.float32)),
        make_constant("half", np.array(0.5, np.float32)),
        make_constant("s", np.array([1, 3, 4])),
        helper.make_node("ConstantOfShape", ["s"], ["f"], value=two),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    weights = [
        numpy_helper.from_array(np.ones((3, 4), np.int8), "w8"),
        numpy_helper.from_array(np.array(0.1, np.float32), "w8_scale"),
        numpy_helper.from_array(np.array([-1, 12]), "s8"),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [y], weights))
    assert count_parameters(model) == 12 + 12 + 1 + 2 * 5


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin", ""])
def test_external_data_stays_in_its_folder(location: str, tmp_path: Path) -> None:
    """A path upwards, an absolute one, a link out of the folder, or none: refused, with the tensor's name."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"x" * 64)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 3], w=[3, 3])
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    (folder / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match=r"'w'.*leaves the folder"):
        load_graph(folder / "a.onnx", is_whole=False)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    """Weights in a file beside the model count as part of it; where one file is wanted they are refused."""
    model = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 3], w=[3, 3])
    path = tmp_path / "a.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    loaded = load_graph(path, is_whole=False)
    assert list_external_files(loaded, path) == [tmp_path / "w.bin"]
    assert count_by_graph(loaded, (3,)).macs == 9
    with pytest.raises(DataError, match="another file"):
        load_graph(path)


@pytest.mark.parametrize(
    ("text", "shape", "what"),
    [
        ("no-such-model", None, "no model"),
        ("nowhere.onnx", None, "no file"),
        ("package.module:factory", None, "no module 'package.module'"),
        ("email.message:Message", None, "not known"),
        ("mlp-64-32", "1,x", "not a shape"),
        ("mlp-64-32", "0,1,16,16", "not a shape"),
        (os.fsdecode(b"\xff.onnx"), None, "not printable"),
    ],
)
def test_unclear_subjects_are_usage_errors(
    text: str, shape: str | None, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not a model, a file or a factory with a shape is named."""
    monkeypatch.chdir(tmp_path)
    write_product(tmp_path / os.fsdecode(b"\xff.onnx"))
    with pytest.raises(UsageError, match=what):
        parse_subject(text, shape)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (["n", "c"], "stated as nxc$"),
        (["n", 0], r"stated as nx\?$"),
        (["n", -3], r"stated as nx\?$"),
        ([8], r"no axis beside the batch \(1 in all\)"),
        ([], r"no axis beside the batch \(0 in all\)"),
    ],
)
def test_shape_that_gives_no_example_is_shown(axes: list[int | str], said: str, tmp_path: Path) -> None:
    """A file that leaves its input open is answered with what it states, one without a batch with that."""
    onnx.save_model(make_model([helper.make_node("Relu", ["x"], ["y"])], axes), tmp_path / "a.onnx")
    with pytest.raises(BenchError) as found:
        parse_subject(str(tmp_path / "a.onnx"), None)
    assert re.search(said, found.value.cause)


def test_other_shape_than_the_file_takes_is_told(tmp_path: Path) -> None:
    """What it takes stands beside what was given, which is what must change."""
    model = load_graph(write_product(tmp_path / "a.onnx"))
    with pytest.raises(DataError, match=r"takes inputs of batchx6, not 1x9\n.*name that shape with --input, a number"):
        read_signature(model).check({"x": (1, 9)})


def test_file_that_cannot_be_read_is_not_called_broken(tmp_path: Path) -> None:
    """It is the place or its permissions that must change, not the export."""
    with pytest.raises(DataError, match=r"not a regular file.*\n.*name a file that can be read"):
        load_graph(tmp_path)


def test_command_counts_a_factory_of_the_user(tmp_path: Path) -> None:
    """A module of the current folder; a wrong shape and a factory of something else are errors with a remedy."""
    (tmp_path / "mine.py").write_text("import torch\ndef net(): return torch.nn.Linear(6, 4)\ndef no(): return 3\n")
    command = Command(tmp_path)
    answer: dict = command.json("count", "mine:net", "--input", "1,6")  # type: ignore[assignment]
    assert [f["value"] for f in answer["figures"] if f["name"] in ("macs", "flops")] == [24, 24, 48]
    for arguments, what in ((("mine:net", "--input", "1,5"), "RuntimeError"), (("mine:no", "--input", "1,6"), "int")):
        done = command("count", *arguments)
        assert done.returncode == 2
        assert what in done.stderr
        assert "remedy:" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "macs"), [("vgg16", 15_470_264_320), ("resnet18", 1_814_073_344), ("vit_b_16", 17_563_828_224)]
)
def test_torchvision_publishes_the_same(command: Command, name: str, macs: int) -> None:
    """The command counts at 224 what torchvision's documentation rounds to 15.47, 1.814 and 17.564 GMAC."""
    answer: dict = command.json("count", f"torchvision.models:{name}", "--input", "1,3,224,224")  # type: ignore[assignment]
    figures = [f for f in answer["figures"] if f["name"] == "macs"]
    assert {f["conditions"]["counter"]: f["value"] for f in figures} == {"dispatch": macs, "trace": macs}
    assert all(f["conditions"]["coverage"] == 1.0 for f in figures)
