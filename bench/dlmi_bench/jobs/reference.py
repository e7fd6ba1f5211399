"""Reference outputs on fixed random inputs: eager in float32 and float64, or ONNX's own evaluator."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import Batch, Scores, run_in_parts
from dlmi_bench.backends.examples import Examples, arrange, get_arrays, read_scores
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.jobs.parity import compute_share
from dlmi_bench.jobs.subject import Subject

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto

    from dlmi_bench.instruments.onnx.ports import Signature

# Share of the largest score by which an answer may change when asked again: batches of another size round otherwise,
# in low precision up to 1e-2; random numbers and statistics of the batch move it by more.
REPEAT_TOLERANCE = 0.03


@dataclass(frozen=True)
class Reference:
    """Scores (n, score) in float32 and float64; without the second nothing can be compared, and `reason` says why.

    Attributes:
        tolerance: Difference that rounding coarser than float32 explains, as a share of the largest score.
    """

    eager: Scores | None
    reference: NDArray[np.float64] | None
    reason: str = ""
    tolerance: float = 0.0

    def save(self, folder: Path) -> dict[str, str]:
        """Paths by role: `eager` and `reference`, as far as there are any, the texts `no_reference` and `tolerance`."""
        paths = {}
        for role, text in (("no_reference", self.reason), ("tolerance", repr(self.tolerance))):
            paths[role] = str(folder / f"{role}.txt")
            Path(paths[role]).write_text(text, encoding="utf-8", errors="replace")
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


def compute_file_reference(path: Path, examples: Examples, **choices: Any) -> Reference:
    """Compute the outputs of ONNX's own evaluator, which shares no code with the runtimes and lacks some operators.

    What the file computes in float16 or bfloat16 is computed in float32 here, from the same weights and inputs.

    Args:
        choices: See `read_signature`.

    Raises:
        DataError: the file does not take these examples, or its answers are no scores of theirs.
    """
    from onnx.reference import ReferenceEvaluator

    from dlmi_bench.instruments.onnx.pooling import make_max_pool

    with graph_faults(path):
        whole, signature, tolerance = _load_whole(path, examples, **choices)
    n, batch = len(examples), signature.batch
    try:
        evaluator: Any = ReferenceEvaluator(whole, new_ops=[_make_zip_map(), make_max_pool()])

        def run(part: Examples) -> Scores:
            feed = {name: _widen(array) for name, array in arrange(part, signature).items()}
            return read_scores(evaluator.run([signature.output.name], feed)[0], signature)

        scores = run_in_parts(run, examples, batch or n)
    except Exception as error:  # noqa: BLE001 - what it does not run, a runtime may
        return Reference(None, None, f"onnx's own evaluator does not run the file: {_describe(error)}")
    if len(scores) != n and batch != 1:
        raise _refuse(str(path), f"{scores.shape} of {scores.dtype}")
    scores = to_rows(str(path), scores, n)
    return Reference(scores, scores.astype(np.float64), tolerance=tolerance)


def _load_whole(path: Path, examples: Examples, **choices: Any) -> "tuple[ModelProto, Signature, float]":
    """A file that takes these examples, with its weights and in float32; and what its rounding explains."""
    from dlmi_bench.instruments.onnx.contents import count_depth, find_precision, widen
    from dlmi_bench.instruments.onnx.external import load_weights
    from dlmi_bench.instruments.onnx.loading import load_graph
    from dlmi_bench.instruments.onnx.ports import read_signature

    graph = load_graph(path, is_whole=False)  # checked before anything reads its weights
    signature = read_signature(graph, **choices)
    batch = signature.batch or len(examples)
    arrays = get_arrays(examples, signature)
    signature.check({name: (batch, *array.shape[1:]) for name, array in arrays.items()})
    arrange(examples[:1], signature)  # of types that the file takes
    return widen(load_weights(graph, path)), signature, compute_share(find_precision(graph), count_depth(graph))


def _make_zip_map() -> Any:
    """An operator that the evaluator lacks: a map from class to score for each row."""
    from onnx.reference.op_run import OpRun

    class ZipMap(OpRun):
        op_domain = "ai.onnx.ml"

        def _run(self, rows: Any, classlabels_int64s: Any = None, classlabels_strings: Any = None) -> tuple[Any]:
            classes = classlabels_int64s or classlabels_strings
            return ([dict(zip(classes, row, strict=True)) for row in rows],)

    return ZipMap


def _widen(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


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
