"""Images for microcontrollers as figures: bytes are counted, instructions and answers simulated."""

import hashlib
from pathlib import Path

from dlmi_bench.errors import BenchError
from dlmi_bench.firmware.session import Examples, Firmware, make_firmware
from dlmi_bench.firmware.targets import TARGETS
from dlmi_bench.jobs.protocol import Figures, FirmwareRequest, OnProgress
from dlmi_bench.records import Figure, unavailable
from dlmi_tasks import get_task
from dlmi_tasks.spec import Arrays

N_CALIBRATION = 500  # training images that scales are chosen on
NAMES = ("flash_bytes", "ram_bytes", "n_instructions", "image_accuracy")
COUNTED = "sections of the ELF file"


def load_examples(task: str, index: int, path: Path) -> Examples:
    """Training images to choose scales on, and the test split, which is read once for this file."""
    known = get_task(task)
    splits = known.load().split(known.n_validation, index)
    train = splits.train if isinstance(splits.train, Arrays) else splits.train.head(N_CALIBRATION)
    with path.open("rb") as file:
        test = splits.test.read(hashlib.file_digest(file, "sha256").hexdigest())
    return Examples(train.images[:N_CALIBRATION], test.images, test.labels, test.groups)


def run_firmware_job(request: FirmwareRequest, on_progress: OnProgress) -> Figures:
    """Make and run one image for each target; what one target has no room for leaves the others."""
    path, figures = Path(request.path), list[Figure]()
    examples = load_examples(request.task, request.seed_index, path)
    for done, name in enumerate(request.targets):
        on_progress(f"image for {name}", done / len(request.targets))
        try:
            (image,) = make_firmware(path, path.stem, examples, [TARGETS[name]]).images
        except BenchError as error:
            figures += [unavailable(figure, error.cause.splitlines()[0], target=name) for figure in NAMES]
        else:
            figures += _describe(image)
    return tuple(figures)


def _describe(image: Firmware) -> list[Figure]:
    if image.shortfalls:
        return [unavailable(name, "; ".join(image.shortfalls), target=image.target) for name in NAMES]
    sizes, identity = image.sizes, {"target": image.target}
    flash = f"vectors {sizes.vectors_bytes}, code {sizes.code_bytes}, constants {sizes.constants_bytes}"
    ram = f"maps and scores {sizes.static_bytes}, stack {sizes.stack_bytes}"
    counted = [
        Figure(
            name=name,
            value=value,
            kind="counted",
            source="ELF file",
            method=f"{COUNTED}: {parts}",
            conditions={**identity},
        )
        for name, value, parts in (("flash_bytes", sizes.flash_bytes, flash), ("ram_bytes", sizes.ram_bytes, ram))
    ]
    instructions = Figure(
        name="n_instructions",
        value=sum(image.instructions.values()),
        kind="simulated",
        source="Unicorn",
        method="instructions of one example, mean of the first few; neither cycles nor joules",
        conditions={**identity},
    )
    changes = {"name": "image_accuracy", "kind": "simulated", "conditions": {**identity}}
    return [*counted, instructions, image.accuracy.model_copy(update=changes)]
