"""The command `firmware`: a trained net as images for microcontrollers, run on simulated cores."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, OutOption, print_json, say

EXIT_TOO_LARGE = 10


def firmware(
    model: Annotated[str, typer.Argument(metavar="MODEL|FILE.onnx", help="Trained in OUT, or a file.")],
    target: Annotated[
        list[str] | None, typer.Option(help="cortex-m0plus, cortex-m4 or rv32imc; may be repeated, all by default.")
    ] = None,
    task: Annotated[str, typer.Option(help="Task that it was trained on.")] = "usps",
    seed: Annotated[int, typer.Option(min=0, help="Number of the training.")] = 0,
    seeds: Annotated[int | None, typer.Option(min=1, help="Instead: the first so many trainings.")] = None,
    bits: Annotated[int, typer.Option(help="Of a weight: 8, or 4 in half of the flash.")] = 8,
    limit_flash: Annotated[int | None, typer.Option(min=0, help="Bytes of flash that an image may take.")] = None,
    limit_ram: Annotated[int | None, typer.Option(min=0, help="Bytes of RAM that it may take, with its stack.")] = None,
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option("--to", help="Folder for sources and images.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make images of a trained net for microcontrollers: sizes, instructions and accuracy of exactly these images.

    All test images are answered on a simulated core and compared with integers on this machine. Exit code 10 where an
    image takes more than a limit, or answers otherwise.
    """
    answer = api.build_firmware(
        model,
        target or (),
        task=task,
        seeds=range(seeds) if seeds else (seed,),
        out=out,
        bits=bits,
        limit_flash=limit_flash,
        limit_ram=limit_ram,
        to=to,
    )
    if as_json:
        from dlmi_bench.cli.answers import FirmwareAnswer

        print_json(FirmwareAnswer(task=task, nets=tuple(answer.content)))
    else:
        say(str(answer))
    if any(net.has_failed for net in answer.content):
        raise typer.Exit(EXIT_TOO_LARGE)
