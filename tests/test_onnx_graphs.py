"""ONNX files as other people's tools write them: files beside them, bodies, classic models, precision."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node
from onnxruntime.quantization import QuantType, quantize_dynamic

from dlmi_bench.backends import BACKENDS, predict
from dlmi_bench.backends.quantization import write_int8
from dlmi_bench.errors import BenchError, DataError
from dlmi_bench.instruments.counts.graph import count_by_graph
from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
from dlmi_bench.instruments.onnx.contents import count_depth, count_operators, count_parameters, find_precision
from dlmi_bench.instruments.onnx.external import load_weights
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.jobs.inputs import draw_examples, load_labelled
from dlmi_bench.jobs.reference import compute_file_reference
from foreign_files import (
    draw,
    make_file,
    make_layers,
    make_linear,
    make_text_model,
    make_tree,
    profile_file,
    save,
    save_with_data,
)

FLOAT = TensorProto.FLOAT
ONNXRUNTIMES = ["onnxruntime", "onnxruntime-binding"]


def answer(model: onnx.ModelProto, folder: Path, examples: Any, **choices: Any) -> np.ndarray:
    return BACKENDS["onnxruntime"].load(save(model, folder / "m.onnx"), **choices).run(examples)


# Other files


def cache(folder: Path, target: str = "../../blobs/data") -> Path:
    """The same as Hugging Face keeps it: blobs under their hashes, and links to them."""
    made = save_with_data(folder / "made")
    blobs, snapshot = (folder / "models--me--net" / part for part in ("blobs", "snapshots/abc"))
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    made.rename(blobs / "model")
    made.with_name("m.onnx_data").rename(blobs / "data")
    (snapshot / "m.onnx").symlink_to("../../blobs/model")
    (snapshot / "m.onnx_data").symlink_to(target)
    return snapshot / "m.onnx"


def test_cache_of_links_is_read(tmp_path: Path) -> None:
    """Counts, runtime and reference agree on a model whose files are links into the blobs of its cache."""
    path = cache(tmp_path)
    figures, _ = profile_file(path, tmp_path)
    assert figures["max_score_error"].value == pytest.approx(0, abs=1e-6)
    assert count_parameters(load_graph(path, is_whole=False)) == 3 * 256 + 64


def test_link_out_of_the_cache_is_refused(tmp_path: Path) -> None:
    """The blobs of another model are as far away as any other folder."""
    other = tmp_path / "models--you--net" / "blobs"
    other.mkdir(parents=True)
    (other / "data").write_bytes(bytes(10**4))
    with pytest.raises(DataError, match="leaves the folder"):
        load_graph(cache(tmp_path, str(other / "data")), is_whole=False)


def test_hard_links_are_files_like_others(tmp_path: Path) -> None:
    """A store that links equal files together: the weights are read, as by the runtime."""
    path = save_with_data(tmp_path)
    os.link(tmp_path / "m.onnx_data", tmp_path / "again")
    figures, _ = profile_file(path, tmp_path)
    assert figures["max_score_error"].value == pytest.approx(0, abs=1e-6)


def test_weights_of_another_file_are_those_of_this_one(tmp_path: Path) -> None:
    """Read by offset and length, each tensor has its own numbers."""
    path = save_with_data(tmp_path)
    whole = load_weights(load_graph(path, is_whole=False), path)
    for tensor, wanted in zip(whole.graph.initializer, make_layers().graph.initializer, strict=True):
        assert np.array_equal(numpy_helper.to_array(tensor), numpy_helper.to_array(wanted))


@pytest.mark.parametrize("name", ["m.onnx", "m.onnx_data", "t.npz"])
def test_pointer_of_git_lfs_is_named(name: str, tmp_path: Path) -> None:
    """A pointer to the model, its data or the test set says what it is, and which command fetches it."""
    path = save_with_data(tmp_path)
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9999\n" + " " * 9**4)
    with pytest.raises(DataError, match=r"is a Git LFS pointer.*\n.*git lfs pull"):
        load_labelled(tmp_path / name) if name == "t.npz" else load_graph(path, is_whole=False)


# Functions, branches, loops


def make_branches(n_rounds: int | None = 5) -> onnx.ModelProto:
    """A branch with a product of 3 x 3 or none, then a loop of such products; x is (batch, 3)."""
    y = helper.make_tensor_value_info("b", FLOAT, None)
    product = [make_node("MatMul", ["x", "w"], ["a"]), make_node("Relu", ["a"], ["b"])]
    then = helper.make_graph(product, "then", [], [y])
    other = helper.make_graph([make_node("Relu", ["x"], ["b"])], "else", [], [y])
    carried = [("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("h", FLOAT, None)]
    kept = [("still", TensorProto.BOOL, []), ("k", FLOAT, None)]
    body = helper.make_graph(
        [make_node("MatMul", ["h", "w"], ["k"]), make_node("Identity", ["go"], ["still"])],
        "body",
        [helper.make_tensor_value_info(*port) for port in carried],
        [helper.make_tensor_value_info(*port) for port in kept],
    )
    nodes = [
        make_node("If", ["yes"], ["u"], then_branch=then, else_branch=other),
        make_node("Loop", ["n" if n_rounds else "free", "yes", "u"], ["v"], body=body),
        make_node("MatMul", ["v", "w"], ["y"]),
    ]
    weights: dict[str, Any] = {"w": draw(3, 3), "yes": np.array(True)}
    weights |= {"n": np.array(n_rounds)} if n_rounds else {}
    if not n_rounds:
        nodes.insert(0, make_node("Size", ["x"], ["free"]))
    return make_file(nodes, {"x": (FLOAT, ["batch", 3])}, {"y": (FLOAT, ["batch", 3])}, weights)


def test_branches_and_loops_are_counted() -> None:
    """The larger branch has 9 products, each of five rounds 9, the last operator 9; notes say what was assumed."""
    products = count_by_graph(make_branches(), (3,))
    assert (products.macs, products.uncounted) == (9 + 5 * 9 + 9, {})
    assert [note.split(" ")[2] for note in products.notes] == ["If", "Loop"]


def test_loop_of_unknown_length_is_named() -> None:
    """What the file does not say is not guessed."""
    products = count_by_graph(make_branches(None), (3,))
    assert (products.macs, products.uncounted) == (18, {"Loop": 1})


def test_operators_in_bodies_and_functions_are_counted() -> None:
    """A function that is called twice counts twice; both branches and the body once."""
    assert count_operators(make_branches()) == {"Identity": 1, "If": 1, "Loop": 1, "MatMul": 3, "Relu": 2}
    relu, opset = make_node("Relu", ["a"], ["c"]), helper.make_opsetid("", 20)
    function = helper.make_function("own", "F", ["a"], ["c"], [relu], [opset])
    nodes = [make_node("F", ["x"], ["h"], domain="own"), make_node("F", ["h"], ["y"], domain="own")]
    port = (FLOAT, ["batch", 3])
    assert count_operators(make_file(nodes, {"x": port}, {"y": port}, functions=[function])) == {"Relu": 2}


def test_activations_of_bodies_are_alive() -> None:
    """In the branch x, a and b of 12 bytes; in the loop u, h, k of 12, the round of 8 and the flag of 1."""
    assert compute_peak_activation_bytes(make_branches()) == 12 + 12 + 12 + 8 + 1


def test_tensor_that_a_body_reads_stays_alive() -> None:
    """x, of 12 bytes, is read again by the branch after two more tensors were made."""
    y = helper.make_tensor_value_info("b", FLOAT, None)
    branch = helper.make_graph([make_node("Add", ["x", "v"], ["b"])], "g", [], [y])
    nodes = [
        make_node("Relu", ["x"], ["u"]),
        make_node("Relu", ["u"], ["v"]),
        make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    port = (FLOAT, ["batch", 3])
    assert compute_peak_activation_bytes(make_file(nodes, {"x": port}, {"y": port}, {"yes": np.array(True)})) == 36


# Parameters of classic models


def test_parameters_of_classic_models() -> None:
    """Twelve coefficients and three intercepts; one threshold and four weights of leaves; nothing known is n/a."""
    assert count_parameters(make_linear()) == 15
    assert count_parameters(make_tree()) == 5
    label = make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_int64s=[0], values_int64s=[1])
    port = (TensorProto.INT64, ["batch", 1])
    assert count_parameters(make_file([label], {"x": port}, {"y": port})) is None


# Precision


def quantise(kind: str, folder: Path) -> Path:
    """The layers in 8-bit integers."""
    source, path = save(make_layers(), folder / "float.onnx"), folder / f"{kind}.onnx"
    if kind == "dynamic":
        quantize_dynamic(source, path, weight_type=QuantType.QInt8)
    else:
        write_int8(source, draw(64, 16), path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["float16", "dynamic", "qdq"])
def test_honest_file_of_low_precision_is_valid(kind: str, tmp_path: Path) -> None:
    """Its own rounding explains the difference from the reference, and the conditions name the precision."""
    path = save(make_layers(kind), tmp_path / "m.onnx") if kind == "float16" else quantise(kind, tmp_path)
    figures, conditions = profile_file(path, tmp_path)
    assert conditions["precision"] == ("float16" if kind == "float16" else "int8")
    assert not [note for note in figures["max_score_error"].notes if str(note).startswith("INVALID")]


def test_weights_that_are_wrong_by_one_percent_are_found(tmp_path: Path) -> None:
    """A runtime that answers by other weights than the file's is INVALID in float16, and the note names it."""
    wrong = save(make_layers("float16", scale=1.01), tmp_path / "wrong.onnx")
    figures, _ = profile_file(save(make_layers("float16"), tmp_path / "m.onnx"), tmp_path, artifact=str(wrong))
    (note,) = figures["max_score_error"].notes
    assert str(note).startswith("INVALID: scores differ")
    assert str(note).endswith("which float16 does not explain")


def test_reference_of_half_precision_is_that_of_its_weights(tmp_path: Path) -> None:
    """Computed in float32 from the rounded weights and inputs: float64 by hand agrees to 1e-6."""
    x = draw(4, 16)
    scores = compute_file_reference(save(make_layers("float16"), tmp_path / "m.onnx"), x).reference
    hand = x.astype(np.float16).astype(np.float64)
    tensors = [numpy_helper.to_array(t).astype(np.float64) for t in make_layers("float16").graph.initializer]
    for weights in tensors[:-1]:
        hand = np.maximum(hand @ weights, 0)
    assert np.allclose(scores, hand @ tensors[-1], atol=1e-6)


def test_precision_is_the_coarsest_that_is_computed_with() -> None:
    """Weights, casts, integers; without weights the inputs."""
    port, half = (FLOAT, ["batch", 3]), (TensorProto.FLOAT16, ["batch", 3])
    cast = [make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), make_node("Cast", ["h"], ["y"], to=FLOAT)]
    there = make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    integers = [there, make_node("DequantizeLinear", ["q", "s"], ["y"])]
    assert find_precision(make_layers()) == "float32"
    assert find_precision(make_file(cast, {"x": port}, {"y": port})) == "float16"
    assert find_precision(make_file(integers, {"x": port}, {"y": port})) == "int8"
    assert find_precision(make_file([make_node("Relu", ["x"], ["y"])], {"x": half}, {"y": half})) == "float16"


def test_depth_is_the_longest_way() -> None:
    """Three layers of two operators and the scores; a body adds its own."""
    assert count_depth(make_layers()) == 7
    assert count_depth(make_branches()) == (1 + 2) + (1 + 1) + 1


def test_only_float32_is_made_into_integers(tmp_path: Path) -> None:
    """A file of half precision, or of integers already, is refused by name."""
    path = save(make_layers("float16"), tmp_path / "m.onnx")
    with pytest.raises(BenchError, match="made from float32; the file is of float16"):
        write_int8(path, draw(4, 16), tmp_path / "int8.onnx")


def test_integers_are_made_of_several_inputs(tmp_path: Path) -> None:
    """Calibrated on all inputs by name: scores within the rounding of 8 bits."""
    examples = draw_examples({"ids": "int64", "mask": "int64"}, {"ids": (8,), "mask": (8,)}, 32)
    path = save(make_text_model(), tmp_path / "m.onnx")
    write_int8(path, examples, tmp_path / "int8.onnx")
    scores = [predict(BACKENDS["onnxruntime"].load(p), examples) for p in (path, tmp_path / "int8.onnx")]
    assert 0 < np.abs(scores[0] - scores[1]).max() < 0.05
