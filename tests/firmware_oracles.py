"""Second opinions on images for microcontrollers: gcc and binutils for Arm, and the cores of QEMU."""

import re
import shutil
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Timer

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.firmware.image import SYMBOLS, Image, Sizes, list_sources
from dlmi_bench.firmware.net import IntegerNet
from dlmi_bench.firmware.targets import TARGETS, Target

GCC, QEMU_ARM, QEMU_RISCV = "arm-none-eabi-gcc", "qemu-system-arm", "qemu-system-riscv32"
FLAGS = "-mthumb -std=c99 -Os -ffreestanding -fno-builtin -Wall -Wextra -Werror -fstack-usage -nostdlib".split()
QUIET = "-display none -monitor none -serial none -S -gdb stdio".split()
SECTIONS = (".vectors", ".text", ".bss")
TIMEOUT_S = 300
APART = 0x8000  # from the beginning of the flash, where no image is: a stop in a page with code slows all of that page
STEPS = "-d exec,nochain -D steps.log -dfilter".split()  # a line for each block, here of one instruction
ONE_STEP = {"-singlestep": ("-singlestep",), "one-insn-per-tb": ("-accel", "tcg,one-insn-per-tb=on")}  # old, new QEMU
STEP = re.compile(r"Trace 0: \S+ \[[0-9a-f]+/([0-9a-f]+)/")
START_UP = {"reset", "halt", "start"}


@dataclass(frozen=True)
class Board:
    """A machine of QEMU.

    Attributes:
        target: A target with the addresses of this machine's memories.
        registers: Numbers of the stack pointer, the return address, the program counter and the result.
    """

    program: str
    options: tuple[str, ...]
    target: Target
    registers: tuple[int, int, int, int] = (13, 14, 15, 0)


# An STM32F405 has its memories where images have them: they run as they are, byte for byte. An nRF51822, the one
# Cortex-M0, has flash at 0, and the RISC-V board memory at 2 GiB: images are linked again for these.
M4, M0 = ("-M", "netduinoplus2"), ("-M", "microbit")
RISCV = replace(TARGETS["rv32imc"], flash_origin=0x80000000, ram_origin=0x80040000)
BOARDS = {
    "cortex-m0plus": Board(QEMU_ARM, M4, TARGETS["cortex-m0plus"]),
    "cortex-m4": Board(QEMU_ARM, M4, TARGETS["cortex-m4"]),
    "cortex-m0plus on a Cortex-M0": Board(QEMU_ARM, M0, replace(TARGETS["cortex-m0plus"], flash_origin=0)),
    "rv32imc": Board(QEMU_RISCV, ("-M", "virt", "-bios", "none"), RISCV, (2, 1, 32, 10)),
}


def find_missing(*programs: str) -> str:
    """Programs that are not installed, as a reason to skip; empty where all are."""
    missing = [program for program in programs if not shutil.which(program)]
    return f"not available: {', '.join(missing)}" if missing else ""


class Core:
    """A core of QEMU with an image, at its reset, led by the protocol of gdb over standard input and output."""

    def __init__(self, board: Board, image: Image, process: "subprocess.Popen[bytes]") -> None:
        self._image, self._process = image, process
        self._stack, self._link, self._counter, self._result = board.registers
        self._ask("qXfer:features:read:target.xml:0,fff")  # without which it tells no single register

    def boot(self, codes: NDArray[np.int8], n_classes: int) -> list[int]:
        """Scores and class of one input, from the reset on."""
        return self._run(codes, n_classes, self._image.symbols["halt"])

    def call(self, codes: NDArray[np.int8], n_classes: int) -> list[int]:
        """Scores and class of one input, by a call of `net_run`."""
        at, target = self._image.symbols, self._image.target
        link = target.flash_origin + APART
        is_arm = target.machine[0] == "arm"
        values = {self._stack: at["stack_top"], self._link: link | is_arm, self._counter: at["net_run"]}
        for number, value in values.items():
            self._ask(f"P{number:x}={_format_word(value)}")
        return self._run(codes, n_classes, link)

    def _run(self, codes: NDArray[np.int8], n_classes: int, end: int) -> list[int]:
        at = self._image.symbols
        self._ask(f"M{at['net_input']:x},{codes.size:x}:{codes.tobytes().hex()}")
        self._ask(f"Z0,{end:x},2")
        assert self._ask("c").startswith("T05")
        assert self._ask(f"p{self._counter:x}") == _format_word(end), "it stops elsewhere"
        self._ask(f"z0,{end:x},2")
        return self._read(f"m{at['net_scores']:x},{4 * n_classes:x}") + self._read(f"p{self._result:x}")

    def _read(self, text: str) -> list[int]:
        return np.frombuffer(bytes.fromhex(self._ask(text)), "<i4").tolist()

    def _ask(self, text: str) -> str:
        """Send a packet, which ends with the sum of its bytes, and return the answer."""
        to, back = self._process.stdin, self._process.stdout
        assert to
        assert back
        data = text.encode()
        to.write(b"$%s#%02x" % (data, sum(data) % 256))
        to.flush()
        found = b""
        while not found.endswith(b"#"):
            byte = back.read(1)
            assert byte, f"QEMU has ended at {text[:20]}"
            found += byte
        back.read(2)
        to.write(b"+")
        to.flush()
        answer = found[:-1].lstrip(b"+").removeprefix(b"$").decode()
        assert not re.fullmatch("E[0-9a-f]{2}", answer), f"QEMU refuses {text[:20]}"
        return answer


def _format_word(value: int) -> str:
    return value.to_bytes(4, "little").hex()


@contextmanager
def start(board: Board, image: Image, folder: Path, *options: str) -> Iterator[Core]:
    """A core that waits at its reset; QEMU reads the ELF file."""
    (folder / "qemu.elf").write_bytes(image.elf)
    words = (board.program, *board.options, *QUIET, "-kernel", "qemu.elf", *options)
    with subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        timer = Timer(TIMEOUT_S, process.kill)
        timer.start()
        try:
            yield Core(board, image, process)
        finally:
            timer.cancel()
            process.terminate()


def answer_in_qemu(
    board: Board, image: Image, codes: NDArray[np.int8], n_classes: int, folder: Path
) -> list[list[int]]:
    """Scores and class of each input (n, inputs), the first one from the reset on."""
    with start(board, image, folder) as core:
        return [core.boot(codes[0], n_classes), *(core.call(row, n_classes) for row in codes[1:])]


def count_in_qemu(board: Board, image: Image, codes: NDArray[np.int8], folder: Path) -> dict[str, int]:
    """Instructions of one input by function, without the start-up code: QEMU runs and writes down each alone."""
    functions = {name: image.functions[name] for name in image.functions.keys() - START_UP}
    ranges = ",".join(f"{begin:#x}..{begin + n - 1:#x}" for begin, n in functions.values())
    helped = ask(folder, board.program, "-help")
    one = next(options for word, options in ONE_STEP.items() if word in helped)
    with start(board, image, folder, *one, *STEPS, ranges) as core:
        core.boot(codes, 1)
    names = sorted(functions, key=lambda name: functions[name])
    begins = [functions[name][0] for name in names]
    with (folder / "steps.log").open() as lines:
        steps = Counter(found[1] for line in lines if (found := STEP.match(line)))
    counts: Counter[str] = Counter()
    for address, n in steps.items():
        counts[names[bisect_right(begins, int(address, 16)) - 1]] += n
    return dict(counts)


def ask(folder: Path, *words: str) -> str:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


def build_with_gcc(net: IntegerNet, target: Target, folder: Path) -> Image:
    """The sources and the linker script of `build_image`, by gcc, whose `-fstack-usage` states the frames."""
    for name, text in list_sources(net, target).items():
        (folder / name).write_text(text)
    cpu = f"-mcpu={target.cpu.replace('_', '-')}"
    ask(folder, GCC, cpu, *FLAGS, "-Wl,-T,image.ld", "-o", "image.elf", "net.c", "start.c")
    frames = "".join(path.read_text() for path in folder.glob("*.su"))
    return read_with_binutils(folder, target, sum(map(int, re.findall(r"\t(\d+)\tstatic", frames))))


def read_with_binutils(folder: Path, target: Target, stack_bytes: int) -> Image:
    """What `read_image` reads from an ELF file, by objcopy, size and nm."""
    ask(folder, "arm-none-eabi-objcopy", "-O", "binary", "image.elf", "copied.bin")
    content = (folder / "copied.bin").read_bytes()
    table = ask(folder, "arm-none-eabi-size", "-A", "image.elf")
    vectors, code, static = (int(re.search(rf"^{name} +(\d+)", table, re.M)[1]) for name in SECTIONS)
    sizes = (len(content), vectors, code, len(content) - vectors - code, static + stack_bytes, static, stack_bytes)
    lines = [line.split() for line in ask(folder, "arm-none-eabi-nm", "-S", "image.elf").splitlines()]
    symbols = {line[-1]: int(line[0], 16) for line in lines if line[-1] in SYMBOLS}
    functions = {line[-1]: (int(line[0], 16), int(line[1], 16)) for line in lines if line[-2] in "Tt"}
    return Image(target, (folder / "image.elf").read_bytes(), content, Sizes(*sizes), symbols, functions)
