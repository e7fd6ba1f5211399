"""Microcontrollers: what the image of each net takes, and which chip has room for which net."""

from dlmi_bench.units import format_count, format_percent
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import show
from dlmi_reports.tables.chips import CHIPS, Chip, find_shortage

CAPTION = (
    "Whole images of the first seed: vectors, code and weights in flash; maps, scores and the worst case of the stack "
    "in RAM, counted from the ELF file. Instructions of one example and the answers to the whole test split are "
    "simulated, by Unicorn; instructions are neither cycles nor joules. Brackets hold the Wilson 95 % interval."
)
CHIP_CAPTION = (
    "Images against the memory of common controllers: flash for vectors, code and weights, RAM for maps, scores and "
    "stack. Nothing is left for a program around the net. Behind each net that has no room: what is short."
)


def make_firmware_tables(task: TaskResults) -> list[Table]:
    """Images and chips; none where no image was made."""
    models = [model for model in task.by_size if list_targets(model)]
    if not models:
        return []
    header = ["model", "target", "flash [bytes]", "RAM [bytes]", "instructions", "test % [95 %]"]
    rows = [_make_row(model, target) for model in models for target in list_targets(model)]
    sources = sorted({f"{chip.name}: {chip.source}" for chip in CHIPS})
    chips = [row for chip in CHIPS if (row := _make_chip_row(chip, models))]
    names = ["chip", "family", "flash [bytes]", "RAM [bytes]", "room for", "no room for"]
    return [
        Table("Microcontrollers", CAPTION, header, rows),
        *([Table("Nets and chips", CHIP_CAPTION, names, chips, [f"Memory: {'; '.join(sources)}."])] if chips else []),
    ]


def list_targets(model: ModelResults) -> list[str]:
    """Targets of which the store has figures, available or not."""
    record = model.measured.get("firmware")
    figures = record.figures if record else ()
    return list(dict.fromkeys(str(figure.conditions["target"]) for figure in figures))


def _make_row(model: ModelResults, target: str) -> list[str]:
    counts = ("flash_bytes", "ram_bytes", "n_instructions")
    accuracy = model.find("firmware", "image_accuracy", target=target)
    return [
        model.name,
        target,
        *(show(model.find("firmware", name, target=target), lambda f: format_count(f.value or 0)) for name in counts),
        show(
            accuracy,
            lambda f: f"{format_percent(f.value or 0)} [{format_percent(f.lo or 0)}, {format_percent(f.hi or 0)}]",
        ),
    ]


def _make_chip_row(chip: Chip, models: list[ModelResults]) -> list[str]:
    """A chip with the nets that have room on it; nothing where no image is for its family."""
    fitting, short = list[str](), list[str]()
    for model in models:
        flash, ram = (model.find("firmware", name, target=chip.target) for name in ("flash_bytes", "ram_bytes"))
        if flash and ram and flash.value is not None and ram.value is not None:
            lack = find_shortage(chip, flash.value, ram.value)
            (short if lack else fitting).append(f"{model.name} ({lack})" if lack else model.name)
    if not fitting and not short:
        return []
    sizes = format_count(chip.flash_bytes), format_count(chip.ram_bytes)
    return [chip.name, chip.target, *sizes, ", ".join(fitting) or "none", ", ".join(short) or "none"]
