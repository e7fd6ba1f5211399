"""Export of a trained network to the files that the runtimes load."""

import contextlib
import copy
import hashlib
import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

OPSET = 20
MAX_BATCH = 4096
# Exported with two examples: with one, the exporter would take the batch size for a constant.
EXAMPLE_BATCH = 2


def write_torch(
    network: nn.Module, model: str, input_shape: tuple[int, ...], path: Path, *, n_classes: int | None = None
) -> None:
    """Write weights as safetensors, with the architecture and its input shape: loading runs no code from the file.

    It is built for `n_classes`, which not all weights tell; None is what the model has by itself.

    Networks of equal weights may do different things with them, so the file holds a hash of that too: what is compiled
    from it is kept under the hash of the file. Weights that two layers share are written for each of them.
    """
    from safetensors.torch import save_file

    weights = {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}
    # One field: several would come in an order that is another in every process.
    shape = "x".join(map(str, input_shape)) + (f":{n_classes}" if n_classes else "")
    save_file(weights, path, metadata={"model": f"{model} {_hash_program(network, input_shape)} {shape}"})


def export_program(network: nn.Module, input_shape: tuple[int, ...]) -> ExportedProgram:
    """Export the program for a batch of any size. The exporter raises exceptions of many classes."""
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    example = torch.zeros(EXAMPLE_BATCH, *input_shape)
    with torch.no_grad():
        return torch.export.export(network, (example,), dynamic_shapes=({0: batch},))


def _hash_program(network: nn.Module, input_shape: tuple[int, ...]) -> str:
    try:
        program = export_program(copy.deepcopy(network).eval(), input_shape)
    except Exception as error:  # noqa: BLE001 - it has no program to compile; those who need one say why
        return type(error).__name__
    constants = {name: value.tolist() for name, value in program.constants.items() if isinstance(value, Tensor)}
    return hashlib.sha256(repr((program.graph_module.code, constants)).encode()).hexdigest()


def write_onnx(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> None:
    """An ONNX file with a free batch size, whose bytes depend on the network alone.

    The exporter notes source lines of this machine in every node; they are taken out, so that equal networks have
    equal hashes wherever they were exported.
    """
    import onnx

    # A layout in memory that was chosen for training would leave its mark on the file.
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format).eval()
    example = torch.zeros(EXAMPLE_BATCH, *input_shape)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    # The exporter reports progress on stdout and warns about its own internals; its errors still raise.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["scores"],
            dynamic_shapes=({0: batch},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(model: "onnx.ModelProto") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Remove everything that does not change what the network computes."""
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    graph = model.graph
    graph.name = "network"
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("value_info")
