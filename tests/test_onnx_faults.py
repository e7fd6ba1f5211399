"""ONNX files that nobody should believe: each is one error with file, field and remedy, in bounded time and memory."""

import os
import random
import resource
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlmi_bench.backends.onnxrt import OnnxRunner
from dlmi_bench.errors import BenchError, DataError
from dlmi_bench.instruments.counts.graph import count_by_graph
from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
from dlmi_bench.instruments.onnx.contents import count_depth, count_operators, count_parameters, find_precision
from dlmi_bench.instruments.onnx.faults import limited_memory
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import read_signature
from dlmi_bench.jobs.counting import run_counts_job
from dlmi_bench.jobs.profile import run_prepare_job
from dlmi_bench.jobs.profile_protocol import PrepareRequest
from dlmi_bench.jobs.protocol import CountsRequest
from dlmi_bench.jobs.reference import to_rows
from dlmi_bench.jobs.subject import Subject, parse_subject
from stand_ins import Command

Nodes = list[onnx.NodeProto]

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]


def make_model(
    nodes: list[onnx.NodeProto], axes: list[int | str], **functions: list[onnx.NodeProto]
) -> onnx.ModelProto:
    """A network from x to y of two axes, with weights w (3, 3); each function turns a into c."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", axes), ("y", ["n", "m"]))]
    weights = numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weights])
    made = [helper.make_function("own", name, ["a"], ["c"], body, OPSETS) for name, body in functions.items()]
    return helper.make_model(graph, opset_imports=OPSETS, functions=made, ir_version=9)


def make_product() -> onnx.ModelProto:
    return make_model([helper.make_node("MatMul", ["x", "w"], ["y"], name="product")], ["batch", 3])


def make_choice() -> onnx.ModelProto:
    """Branches within branches."""
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "b", [], [y])
    for _ in range(3):
        node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
        body = helper.make_graph([node], "b", [], [y])
    yes = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    return make_model([helper.make_node("Constant", [], ["c"], value=yes), *body.node], ["n", 3])


def save_external(path: Path, **entries: str) -> Path:
    """The product with its weights, of 36 bytes, in w.bin."""
    model = make_product()
    (weights,) = model.graph.initializer
    path.with_name("w.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        weights.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def make_bomb() -> onnx.ModelProto:
    """Forty functions, each of which calls the next one twice."""
    names = [f"F{i}" for i in range(40)]
    bodies = {
        name: [helper.make_node(then, ["a"], ["b"], domain="own"), helper.make_node(then, ["b"], ["c"], domain="own")]
        for name, then in pairwise(names)
    }
    last = {names[-1]: [helper.make_node("Relu", ["a"], ["c"])]}
    return make_model([helper.make_node("F0", ["x"], ["y"], domain="own")], ["n", 3], **bodies, **last)


def change(edit: Callable[[onnx.GraphProto], object]) -> bytes:
    model = make_product()
    edit(model.graph)
    return model.SerializeToString()


PRODUCT = make_product().SerializeToString()
FAULTS = {
    "name": (PRODUCT.replace(b"product", b"pro\xffuct"), r"graph\.node\[0\]\.name: text that is not UTF-8"),
    "batch": (PRODUCT.replace(b"batch", b"bat\xffh"), r"dim_param: text that is not UTF-8"),
    "operator": (PRODUCT.replace(b"MatMul", b"Mat\xfful"), r"op_type: text that is not UTF-8"),
    "type": (change(lambda g: setattr(g.initializer[0], "data_type", 99)), r"initializer\[0\]\.data_type: .*99"),
    "port": (change(lambda g: setattr(g.output[0].type.tensor_type, "elem_type", 77)), r"elem_type: .*77"),
    "size": (change(lambda g: g.initializer[0].dims.append(-3)), r"initializer\[0\]\.dims: no tensor has this size"),
    "giant": (change(lambda g: g.initializer[0].dims.extend([2**62] * 9)), r"dims: no tensor has this size"),
    "outputs": (change(lambda g: g.ClearField("output")), r"graph\.output: none"),
    "cut": (PRODUCT[:-30], "not a usable ONNX file"),
    "bomb": (make_bomb().SerializeToString(), "functions: expanded"),
}


@pytest.mark.parametrize(("content", "said"), FAULTS.values(), ids=FAULTS)
def test_fault_of_a_file_names_file_and_field(content: bytes, said: str, tmp_path: Path) -> None:
    """Text, types, sizes and functions that the parser lets pass."""
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.onnx: .*{said}.*\n.*remedy: "):
        load_graph(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "w\0.bin"},
        {"location": "pipe"},
        {"location": "folder"},
        {"location": "loop"},
        {"location": "x" * 5000},
        {"location": "w.bin", "offset": "9" * 5000},
        {"location": "w.bin", "offset": "-1"},
        {"location": "w.bin", "offset": "1", "length": "36"},
        {"location": "w.bin", "length": "\u0663"},
    ],
    ids=str,
)
def test_external_data_is_a_part_of_a_regular_file(entries: dict[str, str], tmp_path: Path) -> None:
    """A pipe is not waited for, and no offset leads out of the file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    load_graph(save_external(tmp_path / "a.onnx", location="w.bin", offset="0", length="36"), is_whole=False)
    with pytest.raises(DataError, match=r"a\.onnx: tensor 'w': external data.*\n.*remedy: "):
        load_graph(save_external(tmp_path / "a.onnx", **entries), is_whole=False)


def test_model_is_a_regular_file_that_protobuf_can_read(tmp_path: Path) -> None:
    """A pipe is not waited for, a device and more than 2 GiB are not read."""
    os.mkfifo(tmp_path / "pipe.onnx")
    with (tmp_path / "long.onnx").open("wb") as file:
        file.truncate(2**31)
    for path in (tmp_path / "pipe.onnx", tmp_path / "long.onnx", Path("/dev/zero"), tmp_path):
        with pytest.raises(DataError, match="not a regular file"):
            load_graph(path)


def test_memory_that_a_file_asks_for_is_limited(tmp_path: Path) -> None:
    """A range of 2^60 numbers, which the inference of shapes would write down; the limit goes when it is over."""
    numbers = [helper.make_node("Constant", [], [name], value_int=n) for name, n in (("a", 0), ("b", 2**60), ("d", 1))]
    rest = [
        helper.make_node("Range", ["a", "b", "d"], ["r"]),
        helper.make_node("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["f"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    onnx.save_model(make_model([*numbers, *rest], ["n", 3]), tmp_path / "a.onnx")
    model, before = load_graph(tmp_path / "a.onnx"), resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), limited_memory(0):
        np.zeros(2 * 2**30, np.uint8)  # which the system grants, as long as nobody writes to it
    for walk in (compute_peak_activation_bytes, lambda model: count_by_graph(model, (3,))):
        with pytest.raises(DataError, match="MemoryError"):
            walk(model)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Flip bits, cut, repeat, or overwrite."""
    data, at = bytearray(content), chance.randrange(len(content))
    match chance.randrange(4):
        case 0:
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            del data[at : at + chance.choice((1, 8, len(data)))]
        case 2:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
        case _:
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(data)


@pytest.mark.parametrize("name", ["product", "choice", "external"])
def test_mutated_files_raise_nothing_else(name: str, tmp_path: Path) -> None:
    """Whatever the bytes are, reading, walking and counting them ends with an answer or one of our errors."""
    path = save_external(tmp_path / "a.onnx", location="w.bin")
    if name != "external":
        path.write_bytes((make_product() if name == "product" else make_choice()).SerializeToString())
    content, chance = path.read_bytes(), random.Random(1)
    walks = (
        count_operators,
        count_parameters,
        count_depth,
        find_precision,
        compute_peak_activation_bytes,
        read_signature,
    )
    for _ in range(300):
        path.write_bytes(mutate(content, chance))
        with suppress(BenchError):
            model = load_graph(path, is_whole=False)
            for walk in walks:
                with suppress(BenchError):
                    walk(model)
            run_counts_job(CountsRequest(subject=parse_subject(str(path), None)), lambda *_: None)


def test_peak_is_that_of_the_plain_rule() -> None:
    """Alive are x until the last reader, a result until its last reader, at once gone if it has none."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Exp", ["a"], ["unread"]),
        helper.make_node("Add", ["a", "x"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    row_bytes = 4 * 3
    assert compute_peak_activation_bytes(make_model(nodes, ["n", 3])) == 3 * row_bytes


@pytest.mark.parametrize("axis", [2**36, 2**62])
def test_inputs_that_fit_into_no_memory_are_named(axis: int, tmp_path: Path) -> None:
    """The file states them and nobody can draw them."""
    subject = Subject(kind="model", name="mlp-64-32", input_shape=(axis,))
    request = PrepareRequest(subject=subject, folder=str(tmp_path), n_examples=16, backends=())
    with pytest.raises(BenchError, match="do not fit into memory"):
        run_prepare_job(request, lambda *_: None)


def test_answers_that_are_no_rows_are_refused(tmp_path: Path) -> None:
    """A number of another type, none at all, one row for all examples; a sequence in place of a tensor."""
    for scores in (np.zeros((4, 2)), np.zeros((4, 0), np.float32), np.zeros((1, 2), np.float32), np.array(["a"] * 4)):
        with pytest.raises(DataError, match=r"a\.onnx answers with .* not with a row"):
            to_rows("a.onnx", scores, 4)
    model = make_model([helper.make_node("SplitToSequence", ["x"], ["y"])], ["n", 3])
    model.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    runner = OnnxRunner(model.SerializeToString(), n_threads=1)
    with pytest.raises(DataError, match="output 'y' is of list, no tensor"):
        runner.run(np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("word", ["count", "profile"])
def test_commands_end_with_an_error(word: str, command: Command) -> None:
    """Never with a traceback."""
    (command.folder / "a.onnx").write_bytes(FAULTS["operator"][0])
    done = command(word, "a.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: a.onnx: graph.node[0].op_type: text that is not UTF-8\n  remedy: ")
