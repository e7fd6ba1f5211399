"""Images for microcontrollers as a function."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.api.answer import Answer
from dlmi_bench.errors import UsageError, list_choices

if TYPE_CHECKING:
    from dlmi_bench.firmware.session import FirmwareNet
    from dlmi_bench.records import Artifact
    from dlmi_bench.store import Store


def build_firmware(
    model: str | Path,
    targets: Iterable[str] = (),
    *,
    task: str = "usps",
    seeds: Iterable[int] = (0,),
    out: str | Path = "out",
    bits: int = 8,
    limit_flash: int | None = None,
    limit_ram: int | None = None,
    to: str | Path | None = None,
) -> "Answer[list[FirmwareNet]]":
    """Make images of a trained net for microcontrollers, and run the whole test split on simulated cores.

    Args:
        model: Name of a model that was trained in `out`, or the path of an ONNX file.
        targets: Names of targets; all by default.
        task: Task that it was trained on, whose training split gives the scales and whose test split is answered.
        seeds: Numbers of the trainings, each of which gives images of its own; an ONNX file has none.
        out: Folder of the results.
        bits: Of a weight, 8 or 4.
        limit_flash, limit_ram: Bytes that an image may take.
        to: Folder for the sources and images.

    Returns:
        The nets with their images; one row for each image.

    Raises:
        UsageError: no such target, task or training.
        DataError: the net is not for microcontrollers, is too large for a target, or its sums could leave 32 bits.
        UnavailableError: compiler or simulator are not installed.
        MeasurementError: an image does not run.

    Example, with the extra mcu:
        >>> import dlmi_bench
        >>> made = dlmi_bench.build_firmware("softmax", ["cortex-m0plus"], out=out)  # doctest: +SKIP
        >>> bool(made.to_dataframe()["flash_bytes"][0] < 3000)  # doctest: +SKIP
        True
    """
    from dlmi_bench.firmware.session import Limits, make_firmware
    from dlmi_bench.firmware.targets import TARGETS
    from dlmi_bench.firmware.text import format_firmware, list_rows
    from dlmi_bench.jobs.firmware import load_examples
    from dlmi_bench.jobs.plugins import load_entry_points
    from dlmi_tasks import TASKS

    names = tuple(dict.fromkeys(targets)) or tuple(TARGETS)
    for name in names:
        if name not in TARGETS:
            raise UsageError(f"no target {name!r}", list_choices(name, TARGETS))
    load_entry_points()
    if task not in TASKS:
        raise UsageError(f"no task {task!r}", list_choices(task, TASKS))
    if bits not in (4, 8):
        raise UsageError(f"{bits} bits", "use 8 or 4")
    found = []
    for name, path, index in _find_files(str(model), task, tuple(dict.fromkeys(seeds)), Path(out)):
        examples = load_examples(task, index, path)
        folder = Path(to) / name.replace("/", "-").replace(", ", "-").replace(" ", "-") if to else None
        limits = Limits(limit_flash, limit_ram)
        chosen = [TARGETS[target] for target in names]
        found.append(make_firmware(path, name, examples, chosen, bits=bits, limits=limits, folder=folder))
    return Answer(found, list_rows(found), format_firmware(found, task))


def _find_files(model: str, task: str, seeds: tuple[int, ...], out: Path) -> list[tuple[str, Path, int]]:
    """Name, ONNX file and number of each training."""
    from dlmi_bench.store import Store
    from dlmi_bench.store.artifacts import find_artifact

    if model.endswith(".onnx"):
        return [(Path(model).stem, Path(model), 0)]
    store, files = Store(out, must_exist=True), []
    trained = _list_trained(store, task)
    for index in seeds:
        if (model, index) not in trained:
            cause = f"{out}: no finished training of {model!r} on {task} with seed {index}"
            names = dict.fromkeys(name for name, _ in trained)
            raise UsageError(cause, list_choices(model, names) if names else "train it with `dlmi-bench run`")
        files.append((f"{model}, seed {index}", find_artifact(out, trained[model, index]), index))
    return files


def _list_trained(store: "Store", task: str) -> "dict[tuple[str, int], Artifact]":
    """ONNX file of each finished training of a task, by model and seed."""
    records = [attempt.record for attempt in store.current().values() if attempt.record]
    trained = [record for record in records if (record.cell.kind, record.cell.task) == ("train", task)]
    return {
        (record.cell.model, record.cell.seed_index): artifact
        for record in trained
        for artifact in record.artifacts
        if artifact.role == "onnx"
    }
