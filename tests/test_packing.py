"""Packed weights: every byte by hand, every bit back, and what is no packed file refused."""

from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.packing.container import MAGIC, PackedTensor, pack, unpack
from dlmi_bench.instruments.packing.encodings import ENCODINGS, GridForm
from dlmi_bench.instruments.packing.fields import TERNARY, pack_fields, unpack_fields
from dlmi_bench.instruments.packing.figures import measure_packing
from dlmi_bench.instruments.packing.grids import find_grid
from dlmi_bench.instruments.packing.layouts import LAYOUTS
from dlmi_bench.instruments.packing.tensors import MAX_PARAMETERS, Constant
from foreign_files import make_file

Array = NDArray[Any]
FLOAT = TensorProto.FLOAT
HEADER = len(MAGIC) + 4 + 1  # signature, checksum, number of tensors
BITS = (1, 3, 7, 127)  # most steps of 1.6, 3, 4 and 8 bits


def make_model(*tensors: Array) -> ModelProto:
    return make_file([], {"x": (FLOAT, [1])}, {"x": (FLOAT, [1])}, {f"w{i}": w for i, w in enumerate(tensors)})


def sign(content: bytes) -> bytes:
    return MAGIC + crc32(content).to_bytes(4, "little") + content


def check(*tensors: Array) -> None:
    """Every layout gives the same arrays back: types, shapes and bits."""
    for layout in (None, *LAYOUTS):
        found = unpack(pack(make_model(*tensors), layout))
        for array, tensor in zip(found, tensors, strict=True):
            assert (array.dtype, array.shape) == (tensor.dtype, tensor.shape)
            assert array.tobytes() == tensor.tobytes()


def find_forms(array: Array) -> dict[int, GridForm | str]:
    """Encodings of a tensor by the bytes of all its numbers."""
    tensor = PackedTensor.make(Constant(FLOAT, array))
    return {e.count_bytes(array.size): ENCODINGS[e.place] for e in tensor.encoded}


def draw_grid(shape: tuple[int, int], most: int, kind: type = np.float32, *, axis: int = 0, seed: int = 0) -> Array:
    """Numbers on a grid of `most` steps with a scale of this type for each index of an axis; no -0.0."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-most, most + 1, shape).astype(np.float32)
    steps[0, :] = steps[:, 0] = most  # every unit has its largest step
    scales = rng.uniform(0.01, 1, shape[axis]).astype(kind).astype(np.float32)
    return steps * (scales[:, None] if axis == 0 else scales[None]) + np.float32(0)


def test_ternary_file_by_hand() -> None:
    """One scale of 0.5 in float16, five digits a byte: 1 + 2 x 3 + 0 + 1 x 27 + 2 x 81 = 196, and 1 x 81."""
    array = 0.5 * np.array([[1, -1, 0, 1, -1], [0, 0, 0, 0, 1]], np.float32)
    place = ENCODINGS.index(GridForm(None, "float16", TERNARY))
    header = bytes([1, 0 * 32 + FLOAT, 2 * 32 + place, 2, 5])
    content = sign(header + np.float16(0.5).tobytes() + bytes([196, 81]))
    assert pack(make_model(array)) == content
    check(array)


def test_gaps_by_hand() -> None:
    """Gaps of 3 and 86 zeros in fields of 7 bits, 0000011 1010110, and two digits of 1."""
    array = np.zeros(100, np.float32)
    array[[3, 90]] = 1.0
    place = ENCODINGS.index(GridForm(None, "float16", TERNARY))
    header = bytes([1, LAYOUTS.index("gaps") * 32 + FLOAT, 32 + place, 100])
    body = bytes([7, 2, 0b00000111, 0b01011000]) + np.float16(1).tobytes() + bytes([1 + 3])
    assert pack(make_model(array)) == sign(header + body)
    check(array)


def test_bitmap_by_hand() -> None:
    """A bit for each of 16 numbers, then the three that are not 0 in float32, which none other holds."""
    array = np.zeros((4, 4), np.float32)
    array[[0, 1, 3], [0, 2, 3]] = [0.1, 1 / 3, 1e-30]
    header = bytes([1, LAYOUTS.index("bitmap") * 32 + FLOAT, 2 * 32, 4, 4])
    body = bytes([0b10000010, 0b00000001]) + np.float32([0.1, 1 / 3, 1e-30]).tobytes()
    assert pack(make_model(array), "bitmap") == sign(header + body)


@pytest.mark.parametrize(("most", "bits"), [*zip(BITS, (1.6, 3, 4, 8), strict=True)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_bytes_of_a_grid(most: int, bits: float, axis: int, kind: type) -> None:
    """A scale for each output channel, whichever axis that is, and the bits of each weight."""
    array = draw_grid((12, 40), most, kind, axis=axis)
    size = np.dtype(kind).itemsize * array.shape[axis] + int(np.ceil(bits * array.size / 8))
    assert len(pack(make_model(array), "dense")) == HEADER + 2 + 2 + size
    form = find_forms(array)[size]
    assert isinstance(form, GridForm)
    assert (form.axis, form.scale) == (axis, np.dtype(kind).name)
    check(array)


def test_float16_and_what_is_in_none_of_the_list() -> None:
    """Two bytes where each value is that of its rounding, else four; one value decides for its tensor alone."""
    halves = np.random.default_rng(0).standard_normal((10, 30)).astype(np.float16).astype(np.float32)
    other = halves.copy()
    other[3, 4] = np.nextafter(other[3, 4], np.float32(9))
    sizes = [len(pack(make_model(array))) - HEADER - 4 for array in (halves, other)]
    assert sizes == [2 * 300, 4 * 300]
    check(halves, other)


def test_one_step_of_float32_off_is_no_grid() -> None:
    """What is nearly on a grid is kept as it is."""
    array = draw_grid((6, 50), 7)
    array[2, 5] = np.nextafter(array[2, 5], np.float32(9))
    assert find_grid(array) is None
    check(array)


@given(
    scale=st.floats(2.0**-60, 2.0**60, width=32),
    most=st.sampled_from(BITS),
    steps=st.lists(st.integers(-127, 127), min_size=1, max_size=40),
)
def test_any_scale_is_found_again(scale: float, most: int, steps: list[int]) -> None:
    """However the product rounds, a grid of as many steps or fewer gives every bit."""
    kept = np.clip([*steps, most], -most, most).astype(np.float32)
    row = (np.float32(scale) * kept + np.float32(0))[None]
    grid = find_grid(row)
    assert grid is not None
    assert np.abs(grid.steps).max() <= most
    check(row)


@given(st.data())
def test_any_float32_comes_back(data: st.DataObject) -> None:
    """NaN with its payload, infinities, -0.0, subnormals, no elements, no axes."""
    shape = data.draw(array_shapes(min_dims=0, max_dims=4, max_side=5, min_side=0))
    bits = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1 << 31, 0x7FC00001, 0x7F800000, 1, 0x3F800000])
    check(data.draw(arrays(np.uint32, shape, elements=bits)).view(np.float32))


@given(
    data=st.data(),
    kind=st.sampled_from([np.float16, np.float32]),
    most=st.sampled_from(BITS),
    axis=st.sampled_from([0, 1]),
    share=st.floats(0, 1),
)
def test_sparse_grids_come_back(data: st.DataObject, kind: type, most: int, axis: int, share: float) -> None:
    """Any share of zeros; half of the zeros may be -0.0, which is another number."""
    shape = (data.draw(st.integers(1, 8)), data.draw(st.integers(1, 60)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    array, rng = draw_grid(shape, most, kind, axis=axis, seed=seed), np.random.default_rng(seed)
    array[rng.random(shape) < share] = 0.0
    check(array)
    array[(array == 0) & (rng.random(shape) < 0.5)] = -0.0
    check(array)


def test_smallest_scale_that_there_is() -> None:
    """128 steps of the smallest float32 are one too many; 127 are on its grid."""
    for most, is_grid in ((128, False), (127, True)):
        row = np.array([[most, 1]], np.uint32).view(np.float32)
        assert (find_grid(row) is not None) == is_grid
        check(row)


@given(width=st.sampled_from([TERNARY, 1, 2, 3, 5, 8, 11, 15]), data=st.data())
def test_fields_of_any_width_come_back(width: int, data: st.DataObject) -> None:
    top = 2 if width == TERNARY else 2**width - 1
    fields = np.array(data.draw(st.lists(st.integers(0, top), max_size=50)), np.uint16)
    assert np.array_equal(unpack_fields(pack_fields(fields, width), len(fields), width), fields)


@pytest.mark.parametrize("name", ["int8", "uint8", "int32", "float16", "float64", "bool", "bfloat16", "int4", "uint4"])
def test_other_types_have_their_own_width(name: str) -> None:
    """Integers are counted as they are: 4 bits are half a byte."""
    from ml_dtypes import bfloat16, int4, uint4

    kind = {"bfloat16": bfloat16, "int4": int4, "uint4": uint4}.get(name, name)
    array = np.random.default_rng(0).integers(0, 2 if name == "bool" else 8, (3, 5)).astype(kind)
    if name in ("int8", "int4"):
        array = (array.astype(np.int8) - 4).astype(kind)
    bits = 4 if name.endswith("int4") else 8 * array.itemsize
    assert len(pack(make_model(array), "dense")) == HEADER + 2 + 2 + -(-15 * bits // 8)
    check(array)


def test_all_zeros_need_no_numbers() -> None:
    """A layer that was pruned away is a shape and an index without entries."""
    assert len(pack(make_model(np.zeros((64, 64), np.float32)))) < HEADER + 2 + 2 + 6
    check(np.zeros((64, 64), np.float32), np.zeros((0, 3), np.float32))


def measure(*tensors: Array, model: ModelProto | None = None) -> dict[str, float | None]:
    figures = measure_packing(model or make_model(*tensors))
    return {str(figure.conditions.get("artifact", figure.name)): figure.value for figure in figures}


def test_figures_by_formula() -> None:
    """Weights have two axes; a bias of four numbers, in float32, is in the sizes and in no weight."""
    weights, bias = draw_grid((4, 25), 3, np.float16), np.sqrt(np.float32([2, 3, 5, 7]))
    weights[0, 1:4] = 0
    n_zeros = int((weights == 0).sum())
    body = 2 * 4 + -(-3 * 100 // 8)
    found = measure(weights, bias)
    assert (found["float32"], found["n_weights"], found["n_nonzero"]) == (4 * 104, 100, 100 - n_zeros)
    assert found["packed"] == HEADER + (2 + 2 + body) + (2 + 1 + 4 * 4)
    assert found["weight_bits"] == 8 * body / 100
    bitmap = -(-100 // 8) + 2 * 4 + -(-3 * (100 - n_zeros) // 8)
    assert found["bitmap"] == HEADER + (2 + 2 + bitmap) + (2 + 1 + 4 * 4)
    assert {"gaps", "packed+zstd"} < found.keys()


def test_without_zeros_there_is_no_sparse_size() -> None:
    assert not {"bitmap", "gaps"} & measure(np.ones((3, 3), np.float32)).keys()


def test_minus_zeros_are_told() -> None:
    """-0.0 is kept, is no weight, and the figure says how to be rid of it."""
    figures = measure_packing(make_model(np.float32([[0.0, -0.0, 1.0]])))
    assert [f.value for f in figures if f.name == "n_nonzero"] == [1]
    assert any("zeros that are -0.0: 1;" in str(note) for figure in figures for note in figure.notes)


def make_quantised(zero: int, operator: str = "DequantizeLinear") -> ModelProto:
    """Weights in 8-bit integers, a scale for each of 5 columns, all zero points the same."""
    node = helper.make_node(operator, ["w", "s", "z"], ["y"], axis=1)
    weights = {
        "w": np.arange(-10, 10, dtype=np.int8).reshape(4, 5),
        "s": np.sqrt(np.float32([2, 3, 5, 6, 7])),
        "z": np.full(5, zero, np.int8),
    }
    return make_file([node], {"x": (FLOAT, [1])}, {"y": (FLOAT, [4, 5])}, weights)


def test_scales_of_integers_belong_to_the_weights() -> None:
    """20 bytes, 5 scales of 4 bytes, and zero points that are an a bitmap of 0 (1 byte)."""
    found = measure(model=make_quantised(0))
    assert (found["n_weights"], found["n_nonzero"]) == (20, 19)
    assert found["weight_bits"] == 8 * (20 + 5 * 4 + 1) / 20


def test_shifted_integers_have_no_nonzero_weights() -> None:
    """Their 0 is another number; sizes are what they are."""
    found = measure(model=make_quantised(3))
    assert (found["n_weights"], found["n_nonzero"], found["weight_bits"]) == (None, None, None)
    assert found["packed"]


def test_integers_of_other_operators_are_no_counted_weights() -> None:
    """MatMulNBits has two weights in a byte, others zero points elsewhere: their bytes are known, their weights not."""
    figures = measure_packing(make_quantised(0, "MatMulNBits"))
    assert [f.reason for f in figures if f.name.startswith("n_")] == 2 * [
        "its weights are integers of operators that are not known here"
    ]
    assert measure(model=make_quantised(0, "MatMulNBits"))["packed"] == measure(model=make_quantised(0))["packed"]


def test_scales_of_blocks_are_no_weights() -> None:
    """Scales with two axes, one for each two weights."""
    node = helper.make_node("DequantizeLinear", ["w", "s"], ["y"], axis=1, block_size=2)
    scales = np.sqrt(np.arange(2, 14, dtype=np.float32)).reshape(4, 3)
    weights = {"w": np.arange(1, 25, dtype=np.int8).reshape(4, 6), "s": scales}
    found = measure(model=make_file([node], {"x": (FLOAT, [1])}, {"y": (FLOAT, [4, 6])}, weights))
    assert (found["n_weights"], found["n_nonzero"], found["weight_bits"]) == (24, 24, 8 * (24 + 12 * 4) / 24)


def test_what_is_not_packed_says_why() -> None:
    """Too many numbers, sparse tensors of ONNX, and text are no zeros, but not available."""
    sparse = make_model()
    values = numpy_helper.from_array(np.ones(1, np.float32), "v")
    sparse.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([2]), "i"), [9])
    )
    huge = make_model()
    huge.graph.initializer.append(TensorProto(name="w", data_type=FLOAT, dims=[MAX_PARAMETERS + 1]))
    for model, said in ((sparse, "sparse tensors"), (huge, "too many"), (make_model(np.array(["a"])), "not packed")):
        figures = measure_packing(model)
        assert {figure.value for figure in figures} == {None}
        assert all(said in figure.reason for figure in figures)
        with pytest.raises(DataError, match=said):
            pack(model)


GRID = 2 * 32 + ENCODINGS.index(GridForm(None, "float16", 3))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "bytes are needed"),
        (b"p9" + bytes(5), "first bytes"),
        (MAGIC + bytes(5), "checksum"),
        (sign(bytes([0, 7])), "after the last"),
        (sign(bytes([1, 3 * 32 + FLOAT, 0])), "no layout"),
        (sign(bytes([1, 8, 0])), "not packed"),
        (sign(bytes([1, FLOAT, 32, 0x81, 0x80, 0x80, 8])), "more than"),
        (sign(bytes([1, FLOAT, 32] + 9 * [0xFF])), "9 bytes"),
        (sign(bytes([1, FLOAT, 2 * 32, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1])), "more than"),
        (sign(bytes([1, FLOAT, 32, 3])), "bytes are needed"),
        (sign(bytes([1, 2 * 32 + FLOAT, 32, 3, 0, 0])), "gaps of 0 bits"),
        (sign(bytes([1, 2 * 32 + FLOAT, 32, 3, 4, 1, 0x90, *4 * [0]])), "place 9"),
        (sign(bytes([1, TensorProto.INT8, GRID, 1, 1, 0, 60, 0])), "float32"),
        (sign(bytes([1, FLOAT, GRID, 1, 1, 0, 0x7C, 0])), "no number"),
        (sign(bytes([1, FLOAT, 32 + 2, 1, 0, 60, 250])), "ternary"),
        (sign(bytes([1, TensorProto.BOOL, 32, 1, 2])), "truth"),
        (sign(bytes([1, FLOAT, ENCODINGS.index(GridForm(0, "float16", 3)), 0, 60, 0])), "IndexError"),
    ],
)
def test_what_is_no_packed_file_is_refused(content: bytes, said: str) -> None:
    """Also with a right checksum: nothing is read beyond its bounds, and nothing is guessed."""
    with pytest.raises(DataError, match=said) as caught:
        unpack(content)
    assert caught.value.remedy
