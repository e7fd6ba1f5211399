"""The image of a net for a target: compiled, linked, and its sizes counted from the ELF file."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

from dlmi_bench.errors import DataError, UnavailableError
from dlmi_bench.extras import is_installed
from dlmi_bench.files import write_text
from dlmi_bench.firmware.net import IntegerNet
from dlmi_bench.firmware.source import FILES, format_source
from dlmi_bench.firmware.targets import Target
from dlmi_bench.instruments.host.provenance import describe_package
from dlmi_bench.native.compiler import run_compiler

# For size, without a library and without what zig adds to C: checks of undefined behaviour, optimisation while linking.
FLAGS = tuple(
    "-std=c99 -Os -g -ffreestanding -fno-builtin -fno-sanitize=all -fno-lto -fstack-size-section -nostdlib".split()
)
SYMBOLS = ("net_run", "net_input", "net_scores", "reset", "halt", "stack_top")
ALLOCATED = 2  # flag of a section that takes memory
PACKAGES = {"ziglang": "ziglang", "elftools": "pyelftools", "unicorn": "unicorn"}  # by the name of the module
REMEDY = "pip install 'dlmi-bench[mcu]'"


@dataclass(frozen=True)
class Sizes:
    """Sizes of an image, counted from its ELF file.

    Attributes:
        flash_bytes: Vectors, code and constants.
        constants_bytes: Weights, biases and tables, with the gaps that align them.
        ram_bytes: Static part and stack.
        static_bytes: Maps and scores.
        stack_bytes: Frames of all functions together. None calls itself, so that no chain of calls is deeper.
    """

    flash_bytes: int
    vectors_bytes: int
    code_bytes: int
    constants_bytes: int
    ram_bytes: int
    static_bytes: int
    stack_bytes: int


@dataclass(frozen=True)
class Image:
    """A linked image.

    Attributes:
        elf: Content of the ELF file.
        content: What the flash holds, from its origin.
        symbols: Addresses by name.
        functions: First address and bytes by name.
    """

    target: Target
    elf: bytes
    content: bytes
    sizes: Sizes
    symbols: dict[str, int]
    functions: dict[str, tuple[int, int]]


def check_tools() -> None:
    """Check that compiler, reader of ELF files and simulator are installed.

    Raises:
        UnavailableError: one is not.
    """
    for module, package in PACKAGES.items():
        if not is_installed(module):
            raise UnavailableError(f"images for microcontrollers need the package {package}", REMEDY)


def describe_tools() -> str:
    """What builds and runs images: packages with their versions, and a hash of the texts in `files/`; or what lacks."""
    if missing := [package for module, package in PACKAGES.items() if not is_installed(module)]:
        return f"not available: {', '.join(missing)}"
    texts = b"".join(path.read_bytes() for path in sorted(FILES.iterdir()) if path.is_file())
    return ", ".join([*map(describe_package, PACKAGES.values()), f"texts {hashlib.sha256(texts).hexdigest()[:16]}"])


def list_flags(target: Target) -> tuple[str, ...]:
    """Arguments of the compiler for a target, without files."""
    return ("-target", target.triple, f"-mcpu={target.cpu}", *FLAGS, *target.flags, "-Wl,-T,image.ld")


def list_sources(net: IntegerNet, target: Target) -> dict[str, str]:
    """Texts of net.c, start.c and image.ld by name."""
    script = Template((FILES / "image.ld.in").read_text("utf-8"))
    places = {name: hex(getattr(target, name)) for name in ("flash_origin", "ram_origin", "ram_bytes")}
    start = (FILES / target.start).read_text("utf-8")
    return {"net.c": format_source(net), "start.c": start, "image.ld": script.substitute(places)}


def build_image(net: IntegerNet, target: Target, folder: Path) -> Image:
    """Write net.c, start.c and image.ld into a folder, compile and link them there.

    Raises:
        UnavailableError: the compiler is not installed, or fails.
        DataError: the image is larger than the memories of the target's chip.
    """
    check_tools()
    for name, text in list_sources(net, target).items():
        write_text(folder / name, text)
    command = (sys.executable, "-P", "-m", "ziglang", "cc", *list_flags(target))
    run_compiler((*command, "-o", "image.elf", "net.c", "start.c"), folder)
    image = read_image((folder / "image.elf").read_bytes(), target)
    for what, n, limit in (
        ("flash", image.sizes.flash_bytes, target.flash_bytes),
        ("RAM", image.sizes.ram_bytes, target.ram_bytes),
    ):
        if n > limit:
            cause = f"the image takes {n} bytes of {what}; {target.chip}, for {target.name}, has {limit}"
            raise DataError(cause, "use a smaller net, or another --target")
    return image


def read_image(elf: bytes, target: Target) -> Image:
    """Count the sizes of an ELF file and find its functions.

    Raises:
        DataError: it has initial values of variables, which nothing would copy, or lacks a symbol.
    """
    from elftools.elf.elffile import ELFFile

    file: Any = ELFFile(BytesIO(elf))
    loaded = [s for s in file.iter_sections() if s["sh_flags"] & ALLOCATED and s["sh_size"]]
    ranges = {section.name: (section["sh_addr"], section["sh_size"], section) for section in loaded}
    found = {s.name: s for s in file.get_section_by_name(".symtab").iter_symbols()}
    if unknown := [*(ranges.keys() - {".vectors", ".text", ".rodata", ".bss"}), *(set(SYMBOLS) - found.keys())]:
        raise DataError(f"the linked image has no place for {', '.join(unknown)}", "report this with the ONNX file")
    begin, end = target.flash_origin, max(a + n for name, (a, n, _) in ranges.items() if name != ".bss")
    content = bytearray(end - begin)
    for name, (address, n, section) in ranges.items():
        if name != ".bss":
            content[address - begin : address - begin + n] = section.data()
    vectors, code = ranges[".vectors"][1], ranges[".text"][1]
    stack = sum(n for _, n in _read_stack_sizes(file.get_section_by_name(".stack_sizes").data()))
    static = ranges[".bss"][0] + ranges[".bss"][1] - target.ram_origin
    return Image(
        target,
        elf,
        bytes(content),
        Sizes(len(content), vectors, code, len(content) - vectors - code, static + stack, static, stack),
        {name: found[name]["st_value"] & ~1 if name != "stack_top" else found[name]["st_value"] for name in SYMBOLS},
        {s.name: (s["st_value"] & ~1, s["st_size"]) for s in found.values() if s["st_info"]["type"] == "STT_FUNC"},
    )


def _read_stack_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Address and frame of each function: four bytes, then a number of seven bits a byte."""
    i = 0
    while i < len(data):
        address, i, n, shift = int.from_bytes(data[i : i + 4], "little"), i + 4, 0, 0
        while data[i] & 128:
            n |= (data[i] & 127) << shift
            i, shift = i + 1, shift + 7
        yield address, n | data[i] << shift
        i += 1
