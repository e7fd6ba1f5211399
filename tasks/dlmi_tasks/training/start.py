"""Start of a network: from scratch, or from a trunk that was trained on something else before.

Sources of a start: `synthetic`, the task's own pool of other examples with continuous targets; `imagenet`, published
weights. The last layer, `out`, is always new, and a first convolution for three channels is made one for ours.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from dlmi_bench.errors import DataError
from dlmi_models import ModelEntry
from dlmi_tasks.spec import Task
from dlmi_tasks.training.imagenet import load_published
from dlmi_tasks.training.pretraining import HEAD, pretrain
from dlmi_tasks.training.weights import Tensors

OnProgress = Callable[[str, float], None]  # (what is being done, share of it)

MAX_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Start:
    """Weights of a trunk and where they come from. `training_s` is what they cost; None where others paid for it.

    Attributes:
        origin: Of published weights: where they lay, sha256 of the file, licence.
    """

    source: str
    weights: Tensors
    sha256: str
    training_s: float | None = None
    origin: dict[str, str] = field(default_factory=dict)


def load_start(entry: ModelEntry, task: Task, on_progress: OnProgress | None = None) -> Start | None:
    """The trunk that the entry asks for; None from scratch.

    Raises:
        DataError, FetchError: the weights cannot be obtained; says what to do.
    """

    if entry.start == "synthetic":
        weights, training_s = pretrain(entry.trainee, task, tell(on_progress, "pretraining, once for all seeds"))
        return Start("synthetic", weights, compute_sha256(weights), training_s)
    if entry.start == "imagenet":
        found = load_published(entry, on_progress=tell(on_progress, "fetching weights"))
        origin = {"file": found.source, "file_sha256": found.sha256, "licence": found.licence}
        return Start("imagenet", found.tensors, compute_sha256(found.tensors), origin=origin)
    return None


def tell(on_progress: OnProgress | None, doing: str) -> Callable[[int, int | None], None]:
    """Say what is being done with each number of parts done."""
    return lambda done, total: on_progress(doing, done / total if total else 0.0) if on_progress else None


def begin(entry: ModelEntry, task: Task, start: Start | None) -> nn.Module:
    """Build a network for the task, before it is made compact; seed torch first.

    Its trunk has the start's weights, its last layer is new.

    Raises:
        DataError: the weights are of another architecture; names those that do not fit.
    """
    network = entry.trainee.build(task.input_shape, task.n_classes)
    if start:
        own = {name: w for name, w in network.state_dict().items() if not name.startswith(HEAD)}
        weights = {name: _fit_channels(w, own[name]) if name in own else w for name, w in start.weights.items()}
        if faults := _find_faults(weights, own):
            raise DataError(
                f"{start.origin.get('file', start.source)}: weights do not fit: {'; '.join(faults)}",
                "use weights of this very architecture, under the names that their source gives them",
            )
        network.load_state_dict(weights, strict=False)
    return network


def _fit_channels(weight: Tensor, own: Tensor) -> Tensor:
    """Kernels for three colours where ours are for one channel: their mean.

    It sees what three equal channels of a third each would: binding ratios reach 6, trunks expect values up to 2.
    """
    if weight.ndim == own.ndim == 4 and (weight.shape[1], own.shape[1]) == (3, 1):
        return weight.mean(1, keepdim=True)
    return weight


def _find_faults(weights: Tensors, own: Tensors) -> list[str]:
    """List what is missing, unexpected and of another shape, each with its first names."""
    # Old files do not count batches; with a fixed momentum nothing reads that count.
    missing = [name for name in own if name not in weights and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in weights if name not in own]
    reshaped = [
        f"{name} {tuple(w.shape)} for {tuple(own[name].shape)}"
        for name, w in weights.items()
        if name in own and w.shape != own[name].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    return [
        f"{len(names)} {kind} ({', '.join(names[:MAX_SHOWN])}{', ..' if len(names) > MAX_SHOWN else ''})"
        for kind, names in kinds.items()
        if names
    ]


def compute_sha256(weights: Tensors) -> str:
    """Hash names and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
