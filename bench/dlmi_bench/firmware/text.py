"""Images as rows and as text."""

from dataclasses import asdict
from textwrap import wrap

from dlmi_bench.firmware.session import Firmware, FirmwareNet
from dlmi_bench.records import Figure
from dlmi_bench.units import clean_line, format_count, format_percent

WIDTH = 80
LABEL = 34  # columns of the words before the figures
FOOT = (
    "Brackets: 95 % intervals, sampling of test images. Counted: from the ELF file. Simulated: by Unicorn; "
    "instructions are neither cycles nor joules."
)


def list_rows(nets: list[FirmwareNet]) -> list[dict[str, object]]:
    """List a row for each image."""
    return [
        {
            "model": net.name,
            "target": image.target,
            **asdict(image.sizes),
            "simulated_stack_bytes": image.simulated_stack_bytes,
            "simulated_instructions": sum(image.instructions.values()),
            "n_equal": image.n_equal,
            "n": image.accuracy.n,
            "accuracy": image.accuracy.value,
            "accuracy_lo": image.accuracy.lo,
            "accuracy_hi": image.accuracy.hi,
            "float_accuracy": net.float_accuracy.value,
            "shortfalls": "; ".join(image.shortfalls),
            "took_s": image.took_s,
        }
        for net in nets
        for image in net.images
    ]


def format_firmware(nets: list[FirmwareNet], task: str) -> str:
    """Write the table of each net, and the means where there are several, in 80 columns."""
    parts = ["\n".join(_list_lines(net, task)) for net in nets]
    if len(nets) > 1:
        parts.append("\n".join(_list_means(nets)))
    return "\n\n".join([*parts, "\n".join(wrap(FOOT, WIDTH))])


def _list_lines(net: FirmwareNet, task: str) -> list[str]:
    head = f"{clean_line(net.name)} on {clean_line(task)}: {format_count(net.n_weights)} weights of {net.bits} bits, "
    head += f"{format_count(net.macs)} multiply-accumulates; scales of {net.n_calibration} training images"
    lines = [*wrap(head, WIDTH, break_on_hyphens=False), ""]
    for label, values in _list_figures(net):
        lines.append(label.ljust(LABEL) + "".join(value.rjust((WIDTH - LABEL) // len(net.images)) for value in values))
    short = [f"FAILS on {image.target}: {text}" for image in net.images for text in image.shortfalls]
    return [*lines, *(line for text in short for line in wrap(text, WIDTH))]


def _list_figures(net: FirmwareNet) -> list[tuple[str, list[str]]]:
    images = net.images

    def count(label: str, *values: float) -> tuple[str, list[str]]:
        return label, [format_count(value) for value in values]

    functions = sorted({name for image in images for name in image.instructions})
    return [
        ("", [image.target for image in images]),
        count("flash [bytes], counted", *(image.sizes.flash_bytes for image in images)),
        count("  vectors", *(image.sizes.vectors_bytes for image in images)),
        count("  code", *(image.sizes.code_bytes for image in images)),
        count("  constants", *(image.sizes.constants_bytes for image in images)),
        count("RAM [bytes], counted", *(image.sizes.ram_bytes for image in images)),
        count("  maps and scores", *(image.sizes.static_bytes for image in images)),
        count("  stack, worst case", *(image.sizes.stack_bytes for image in images)),
        count("  stack, deepest, simulated", *(image.simulated_stack_bytes for image in images)),
        count("instructions/example, simulated", *(sum(image.instructions.values()) for image in images)),
        *(count(f"  {name}", *(image.instructions.get(name, 0) for image in images)) for name in functions),
        ("answers equal to the reference", [f"{image.n_equal}/{image.accuracy.n}" for image in images]),
        ("accuracy of the image [%]", [format_percent(image.accuracy.value or 0, 2) for image in images]),
        ("  interval", [_format_bounds(image.accuracy) for image in images]),
        ("  in floats", [format_percent(net.float_accuracy.value or 0, 2)] * len(images)),
    ]


def _format_bounds(figure: Figure) -> str:
    return f"[{format_percent(figure.lo or 0, 2)}, {format_percent(figure.hi or 0, 2)}]"


def _list_means(nets: list[FirmwareNet]) -> list[str]:
    """Mean accuracies over nets, with their range, and the largest image, for each target."""
    floats = [net.float_accuracy.value or 0 for net in nets]
    lines = [f"{len(nets)} nets: mean [range] of the accuracy [%], and the largest image"]
    lines.append("  in floats".ljust(LABEL) + _format_range(floats))
    groups = zip(*(net.images for net in nets), strict=True)
    return [*lines, *(f"  {group[0].target}".ljust(LABEL) + _describe_group(group) for group in groups)]


def _describe_group(images: tuple[Firmware, ...]) -> str:
    flash, ram = (max(getattr(image.sizes, what) for image in images) for what in ("flash_bytes", "ram_bytes"))
    accuracies = [image.accuracy.value or 0 for image in images]
    return f"{_format_range(accuracies)}  {format_count(flash)} B flash, {format_count(ram)} B RAM"


def _format_range(values: list[float]) -> str:
    mean = sum(values) / len(values)
    return f"{format_percent(mean, 2)} [{format_percent(min(values), 2)}, {format_percent(max(values), 2)}]"
