"""Reference outputs on fixed random inputs: eager in float32 and float64, or ONNX's own evaluator."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import Batch, Scores, run_in_parts
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.instruments.onnx_faults import graph_faults
from dlmi_bench.jobs.subject import Subject

if TYPE_CHECKING:
    import torch

# Share of the largest score by which an answer may change when asked again: batches of another size round otherwise,
# in low precision up to 1e-2; random numbers and statistics of the batch move it by more.
REPEAT_TOLERANCE = 0.03


@dataclass(frozen=True)
class Reference:
    """Scores (n, score) in float32 and float64; without the second nothing can be compared, and `reason` says why."""

    eager: Scores | None
    reference: NDArray[np.float64] | None
    reason: str = ""

    def save(self, folder: Path) -> dict[str, str]:
        """Paths by role: `eager` and `reference`, as far as there are any, and the text `no_reference`."""
        paths = {"no_reference": str(folder / "no_reference.txt")}
        Path(paths["no_reference"]).write_text(self.reason, encoding="utf-8", errors="replace")
        for role, scores in (("eager", self.eager), ("reference", self.reference)):
            if scores is not None:
                paths[role] = str(folder / f"{role}.npy")
                np.save(paths[role], scores, allow_pickle=False)
        return paths


def compute_network_reference(subject: Subject, network: Any, images: Batch) -> Reference:
    """Compute the outputs of eager in float32 and, where it can, in float64.

    Raises:
        UsageError: the network does not take these images, or its answers are no scores of theirs.
    """
    import torch

    inputs = torch.from_numpy(images)
    eager, again = (_ask(subject.name, network, inputs[:n]) for n in (len(images), subject.batch))
    with np.errstate(invalid="ignore"):  # what is not finite is for the rows to say
        worst = float(np.abs(eager[: subject.batch] - again).max())
    if worst > REPEAT_TOLERANCE * float(np.abs(eager).max()):
        raise UsageError(
            f"{subject.name} answers otherwise when asked again, by up to {worst:.1e}",
            "let an answer depend on its example alone: no random numbers, no statistics of the batch",
        )
    try:
        with torch.inference_mode():
            exact = copy.deepcopy(network).double()(inputs.double())
    except Exception as error:  # noqa: BLE001 - a network for float32 alone has all figures but those of parity
        return Reference(eager, None, f"eager does not run in float64: {_describe(error)}")
    return Reference(eager, exact.flatten(1).numpy())


def _ask(name: str, network: Any, inputs: "torch.Tensor") -> Scores:
    import torch

    try:
        with torch.inference_mode():
            scores = network(inputs)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{name} does not take inputs of {','.join(map(str, inputs.shape))}: {_describe(error)}",
            "it must take any number of examples as its one input; name their shape with --input, batch first",
        ) from error
    if not isinstance(scores, torch.Tensor):
        raise _refuse(name, type(scores).__name__)
    if scores.ndim < 2 or len(scores) != len(inputs) or scores.dtype != torch.float32:
        raise _refuse(name, f"{tuple(scores.shape)} of {str(scores.dtype).removeprefix('torch.')}")
    flat: Scores = scores.flatten(1).numpy()
    return flat


def compute_file_reference(path: Path, images: Batch) -> Reference:
    """Compute the outputs of ONNX's own evaluator, which shares no code with the runtimes and lacks some operators.

    Raises:
        DataError: the file does not take these images, or its answers are no scores of theirs.
    """
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    from dlmi_bench.instruments.onnx_graph import check_input_shape, find_batch, find_input, load_graph

    with graph_faults(path):
        graph = load_graph(path, is_whole=False)  # checked before anything reads its weights
        port, batch = find_input(graph), find_batch(graph)
        if (number := port.type.tensor_type.elem_type) != TensorProto.FLOAT:
            kind = helper.tensor_dtype_to_string(number).removeprefix("TensorProto.")
            raise DataError(f"its input {port.name!r} is of {kind}", "export it with an input of float32")
        check_input_shape(graph, (batch or len(images), *images.shape[1:]))
    try:
        evaluator = ReferenceEvaluator(str(path))
        run: Any = evaluator.run
        scores = run_in_parts(lambda part: run(None, {port.name: part})[0], images, batch or len(images))
    except Exception as error:  # noqa: BLE001 - what it does not run, a runtime may
        return Reference(None, None, f"onnx's own evaluator does not run the file: {_describe(error)}")
    if len(scores) != len(images) and batch != 1:
        raise _refuse(str(path), f"{scores.shape} of {scores.dtype}")
    scores = to_rows(str(path), scores, len(images))
    return Reference(scores, scores.astype(np.float64))


def to_rows(name: str, scores: Scores, n: int) -> Scores:
    """Scores in a row for each of `n` examples.

    Raises:
        DataError: they cannot be divided so, or are no scores.
    """
    if scores.dtype != np.float32 or not scores.size or scores.size % n:
        raise _refuse(name, f"{scores.shape} of {scores.dtype}")
    return scores.reshape(n, -1)


def _refuse(name: str, made: str) -> DataError:
    return DataError(
        f"{name} answers with {made}, not with a row of float32 scores for each example",
        "wrap it in a module that returns one tensor, (batch, score)",
    )


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
