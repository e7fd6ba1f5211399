"""ONNX files as other people's tools write them: inputs and outputs of all kinds, and test sets for them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node

from dlmi_bench.backends import BACKENDS
from dlmi_bench.backends.examples import NamedArrays
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.instruments.onnx.ports import Port, make_signature, read_signature
from dlmi_bench.jobs.inputs import describe_draws, draw_examples, load_examples, load_labelled, save_examples
from dlmi_bench.jobs.reference import compute_file_reference
from dlmi_bench.jobs.subject import parse_subject
from foreign_files import (
    Ports,
    draw,
    make_file,
    make_image_model,
    make_layers,
    make_linear,
    make_sequence_model,
    make_text_model,
    profile_file,
    save,
)
from stand_ins import Command

FLOAT = TensorProto.FLOAT
ONNXRUNTIMES = ["onnxruntime", "onnxruntime-binding"]


def answer(model: onnx.ModelProto, folder: Path, examples: Any, **choices: Any) -> np.ndarray:
    return BACKENDS["onnxruntime"].load(save(model, folder / "m.onnx"), **choices).run(examples)


# Inputs


@pytest.mark.parametrize("backend", ONNXRUNTIMES)
def test_several_inputs_are_fed_by_name(backend: str, tmp_path: Path) -> None:
    """Ids and a mask: the scores are those of the formula, whatever the order of the arrays."""
    ids, mask = np.arange(16).reshape(2, 8) % 5, np.ones((2, 8), np.int64)
    mask[:, 4:] = 0
    runner = BACKENDS[backend].load(save(make_text_model(), tmp_path / "m.onnx"))
    scores = runner.run(NamedArrays({"mask": mask, "ids": ids}))
    expected = (draw(5, 6)[ids] * mask[..., None]).mean(1) @ draw(6, 3)
    assert np.allclose(scores, expected, atol=1e-6)


def test_input_without_an_array_is_named(tmp_path: Path) -> None:
    """One array for a file of two inputs: the error names both, and the one that has nothing."""
    with pytest.raises(DataError, match="takes the inputs ids, mask; there is nothing for mask"):
        answer(make_text_model(), tmp_path, np.zeros((2, 8), np.int64))


def test_arrays_of_different_lengths_are_refused() -> None:
    """Two ids and three masks are no examples."""
    with pytest.raises(DataError, match="different numbers of examples"):
        NamedArrays({"a": np.zeros((2, 1)), "b": np.zeros((3, 1))})


def test_named_arrays_are_sliced_saved_and_read(tmp_path: Path) -> None:
    """What comes back from a file is what went in, with types; a slice has the rows of every array."""
    examples = NamedArrays({"a/x": np.arange(6).reshape(3, 2), "b": np.array([True, False, True])})
    read = load_examples(save_examples(examples[1:], tmp_path))
    assert isinstance(read, NamedArrays)
    assert read.arrays["a/x"].tolist() == [[2, 3], [4, 5]]
    assert (len(read), read.arrays["b"].dtype) == (2, np.bool_)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_floats_are_rounded_to_the_type_of_the_file(dtype: str, tmp_path: Path) -> None:
    """A file of another floating-point type takes float32 and answers with float32."""
    scores = answer(make_layers(dtype), tmp_path, draw(5, 16))
    assert scores.dtype == np.float32
    assert np.allclose(scores, answer(make_layers(), tmp_path, draw(5, 16)), atol=0.02)


@pytest.mark.parametrize("backend", ONNXRUNTIMES)
def test_bfloat16_ports_are_read(backend: str, tmp_path: Path) -> None:
    """A number is rounded to 8 bits on its way in: 1 + 2^-9 is 1, 1.5 stays."""
    nodes = [make_node("Cast", ["x"], ["f"], to=FLOAT), make_node("Cast", ["f"], ["y"], to=TensorProto.BFLOAT16)]
    port = (TensorProto.BFLOAT16, ["batch", 2])
    runner = BACKENDS[backend].load(save(make_file(nodes, {"x": port}, {"y": port}), tmp_path / "m.onnx"))
    assert runner.run(np.array([[1 + 2**-9, 1.5]], np.float32)).tolist() == [[1.0, 1.5]]
    assert runner.conditions["precision"] == "bfloat16"


def test_images_of_bytes_with_channels_last(tmp_path: Path) -> None:
    """Random inputs are 0 to 255, and the conditions say so; the scores are the means of the channels."""
    subject = parse_subject(str(save(make_image_model(), tmp_path / "m.onnx")), None)
    assert subject.input_shape == (4, 5, 3)
    figures, conditions = profile_file(tmp_path / "m.onnx", tmp_path)
    images = np.load(tmp_path / "images.npy")
    assert (images.dtype, images.max() > 200, images.min() < 50) == (np.uint8, True, True)
    assert conditions["inputs"] == "0 to 255"
    assert figures["max_score_error"].value == pytest.approx(0, abs=1e-4)


def test_images_with_channels_first_are_refused_where_they_stand_last(tmp_path: Path) -> None:
    """Three channels on the wrong axis are named as such."""
    with pytest.raises(DataError, match=r"batchx4x5x3, not 2x3x4x5; its channels stand on another axis"):
        compute_file_reference(save(make_image_model(), tmp_path / "m.onnx"), np.zeros((2, 3, 4, 5), np.uint8))


def test_whole_numbers_must_fit(tmp_path: Path) -> None:
    """256 is no byte: an error in place of a 0."""
    with pytest.raises(DataError, match="takes uint8 for its input 'image', not int64"):
        answer(make_image_model(), tmp_path, np.full((1, 4, 5, 3), 256))


def test_random_inputs_fit_their_types() -> None:
    """Ids are 0 or 1, masks hide nothing, floats are normal; the text says what was drawn."""
    types = {"ids": "int64", "attention_mask": "int64", "x": "float16"}
    examples = draw_examples(types, {"ids": (8,), "attention_mask": (8,), "x": (3,)}, 16)
    assert isinstance(examples, NamedArrays)
    assert set(np.unique(examples.arrays["ids"])) == {0, 1}
    assert examples.arrays["attention_mask"].all()
    assert describe_draws(examples) == "ids: 0 or 1; attention_mask: ones"


def test_weights_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    """Old exporters list them: the file has one input, also for the runtime."""
    model = make_layers()
    model.graph.input.append(helper.make_tensor_value_info("out", FLOAT, [16, 4]))
    assert [port.name for port in read_signature(model).inputs] == ["x"]
    assert answer(model, tmp_path, draw(2, 16)).shape == (2, 4)


def test_shapes_of_several_inputs_are_named(tmp_path: Path) -> None:
    """Words of the command line by name; one without a name, one of another file and another batch are refused."""
    path = str(save(make_text_model(), tmp_path / "m.onnx"))
    subject = parse_subject(path, ["ids=4,8", "mask=4,8"])
    assert (subject.batch, subject.input_shapes) == (4, {"ids": (8,), "mask": (8,)})
    cases = (["1,8"], "inputs ids, mask"), (["x=1,8"], "no such input"), (["ids=2,8"], r"batches of \[1, 2")
    for words, said in cases:
        with pytest.raises(UsageError, match=said):
            parse_subject(path, words)


def test_examples_of_the_user_take_the_place_of_random_ones(tmp_path: Path) -> None:
    """Arrays by input from an .npz file, again from the first where they are too few; the figures say so."""
    path = save(make_text_model(), tmp_path / "m.onnx")
    given = {"ids": np.full((3, 8), 4), "mask": np.eye(3, 8, dtype=int)}
    np.savez(tmp_path / "x.npz", **given)
    figures, conditions = profile_file(path, tmp_path, inputs=str(tmp_path / "x.npz"))
    images = load_examples(tmp_path / "images.npz")
    assert isinstance(images, NamedArrays)
    assert np.array_equal(images.arrays["mask"][3:6], np.eye(3, 8))
    assert (figures["max_score_error"].source, conditions["inputs"]) == ("given inputs", "given by the user")
    np.savez(tmp_path / "x.npz", ids=given["ids"])
    with pytest.raises(DataError, match="nothing for mask"):
        parse_subject(str(path), str(tmp_path / "x.npz"))


@pytest.mark.slow
def test_command_counts_a_file_of_several_inputs(command: Command) -> None:
    """The command line names shapes, scores and axis; the head of the text names both inputs."""
    save(make_text_model(), command.folder / "m.onnx")
    words = ("--input", "ids=2,8", "--input", "mask=2,8", "--output", "y", "--batch-axis", "0")
    done = command("count", "m.onnx", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("m.onnx, one example of ids 8, mask 8")
    assert "macs (graph)                          18" in done.stdout


# Axis of the examples


@pytest.mark.parametrize("batch", ["batch_size", "N", 4])
def test_examples_along_the_second_axis(batch: int | str, tmp_path: Path) -> None:
    """Found by its name, or named by the caller where the size is fixed; scores are those of each example."""
    choices = {"batch_axis": 1} if batch == 4 else {}
    model = make_sequence_model(batch)
    assert read_signature(model, **choices).example_shapes == {"x": (7, 2)}
    examples = draw(6, 7, 2)
    assert np.allclose(answer(model, tmp_path, examples, **choices), examples.sum(1), atol=1e-5)
    reference = compute_file_reference(tmp_path / "m.onnx", examples, **choices).reference
    assert np.allclose(reference, examples.sum(1), atol=1e-5)


def test_scores_along_the_second_axis(tmp_path: Path) -> None:
    """Steps (7, batch, 2) whose scores keep that layout: a row for each example."""
    ports: Ports = {name: (FLOAT, [7, "batch", 2]) for name in ("x", "y")}
    model = make_file([make_node("Neg", ["x"], ["y"])], {"x": ports["x"]}, {"y": ports["y"]})
    examples = draw(3, 7, 2)
    assert np.array_equal(answer(model, tmp_path, examples), -examples)


@pytest.mark.parametrize(
    ("inputs", "scores", "axis"),
    [
        ([("batch", 3)], ("batch", 4), 0),
        ([("T", "batch", 8)], ("T", "batch", 4), 1),
        ([("B", "N", 3)], ("B", "N", 4), 0),
        ([("time", "n", 8)], ("n", 4), 1),
        ([(5, "rows", 8)], ("rows", 4), 1),
        ([(1, 3, "h", "w")], (1, 4), 0),
        ([(1, "words", 8)], (1, "words", 4), 0),
        ([("unk__1", 8)], ("unk__2", 4), 0),
    ],
)
def test_axis_of_the_examples(inputs: list[tuple[int | str, ...]], scores: tuple[int | str, ...], axis: int) -> None:
    """The rules of `ports`, one each; a length of text and the sides of an image are not taken for a batch."""
    ports = [Port("x", "float32", sizes) for sizes in inputs]
    assert make_signature(ports, [Port("y", "float32", scores)]).axes == {"x": axis}


# Outputs


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("has_maps", [False, True])
def test_scores_of_a_classifier_that_gives_labels_first(has_maps: bool, words: bool, tmp_path: Path) -> None:
    """Labels of numbers or words come first; scores are a tensor or maps, a column for each class, as by hand."""
    x = draw(5, 4)
    raw = x @ (np.arange(12) % 5 - 2).reshape(3, 4).T + [0.5, 0.0, -0.5]
    expected = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    model = make_linear(has_maps=has_maps, words=words)
    assert np.allclose(answer(model, tmp_path, x), expected, atol=1e-6)
    reference = compute_file_reference(tmp_path / "m.onnx", x).reference
    assert np.allclose(reference, expected, atol=1e-6)


def test_named_output_is_taken(tmp_path: Path) -> None:
    """Of two outputs of floats the first is taken, or the one that is named, which the conditions tell."""
    nodes = [make_node("Neg", ["x"], ["logits"]), make_node("Softmax", ["logits"], ["probabilities"])]
    ports: Ports = {name: (FLOAT, ["batch", 3]) for name in ("logits", "probabilities")}
    model = make_file(nodes, {"x": (FLOAT, ["batch", 3])}, ports)
    x = draw(2, 3)
    assert np.array_equal(answer(model, tmp_path, x), -x)
    assert np.allclose(answer(model, tmp_path, x, output="probabilities").sum(1), 1)
    runner = BACKENDS["onnxruntime"].load(tmp_path / "m.onnx", output="probabilities")
    assert runner.conditions["output"] == "probabilities"
    with pytest.raises(UsageError, match=r"no such output\n.*use one of logits, probabilities"):
        read_signature(model, output="scores")


# Test sets


def test_test_set_by_input(tmp_path: Path) -> None:
    """Arrays by input beside y, or x alone; either is identified by all of its bytes."""
    ids, y = np.arange(16).reshape(2, 8), np.array([0, 1])
    np.savez(tmp_path / "t.npz", ids=ids, mask=ids > 3, y=y)
    named = load_labelled(tmp_path / "t.npz")
    assert isinstance(named.examples, NamedArrays)
    assert set(named.examples.arrays) == {"ids", "mask"}
    np.savez(tmp_path / "t.npz", ids=ids, mask=ids > 4, y=y)
    assert load_labelled(tmp_path / "t.npz").sha256["test_images"] != named.sha256["test_images"]
