"""A process that runs images on a simulated core: `python -m dlmi_bench.firmware.machine FOLDER`.

The only module that imports Unicorn, which is under the GPL: it stays in this process, and the two sides share files.
request.json, flash.bin and inputs.npy go in; scores.npy, classes.npy and seen.json come out. Nothing is unpickled.
"""

import json
import sys
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import unicorn
from unicorn import arm_const, riscv_const

from dlmi_bench.firmware.machine_code import count_block

PAGE = 4096
WIDE = 2**20  # pages that keep an Arm's flash and RAM apart
TIMEOUT_US = 30 * 10**6  # of the first example
PATTERN = 0xA5  # of RAM that nobody has written


class Machine:
    """A core with flash that cannot be written, RAM, and an image.

    Unicorn keeps the addresses of 256 pages, by the last bits of their numbers, which pages of 1 KiB at 0x08000000 and
    0x20000000 share: each load of a weight would drive out a page of maps, and take half of the time. In wide pages an
    image is twice as fast, but memory ends later than that of the chip.

    Args:
        is_wide: Whether pages are wide, where the core has a choice.
    """

    def __init__(self, request: dict[str, Any], flash: bytes, *, is_wide: bool) -> None:
        self._request, self._is_arm = request, request["machine"][0] == "arm"
        constants: Any = arm_const if self._is_arm else riscv_const
        kind = (unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.core = unicorn.Uc(*(kind if self._is_arm else (unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)))
        page = WIDE if is_wide and self._is_arm else PAGE
        if page == WIDE:
            self.core.ctl_set_page_size(page)
        self.core.ctl_set_cpu_model(getattr(constants, request["machine"][1]))
        names = ("ARM_REG_SP", "ARM_REG_LR", "ARM_REG_R0", "ARM_REG_PC")
        names = names if self._is_arm else ("RISCV_REG_SP", "RISCV_REG_RA", "RISCV_REG_A0", "RISCV_REG_PC")
        self._stack, self._link, self._result, self._counter = (getattr(constants, f"UC_{name}") for name in names)
        ram, self._ram_bytes = request["ram_origin"], _round_up(request["ram_bytes"], page)
        flash_bytes = _round_up(len(flash), page)
        self.core.mem_map(request["flash_origin"], flash_bytes, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self.core.mem_map(ram, self._ram_bytes, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        self.core.mem_write(request["flash_origin"], flash)
        self.core.mem_write(ram, bytes([PATTERN]) * self._ram_bytes)

    def run(self, codes: bytes, *, is_boot: bool = False) -> tuple[bytes, int]:
        """Scores and class of one input; from the reset on, or by a call of `net_run`."""
        at = self._request["symbols"]
        self.core.mem_write(at["net_input"], codes)
        first, stack = at["net_run"], at["stack_top"]
        if is_boot and self._is_arm:  # as the core does after a reset
            flash = self.core.mem_read(self._request["flash_origin"], 8)
            stack, first = (int.from_bytes(flash[i : i + 4], "little") & ~1 for i in (0, 4))
        elif is_boot:
            first, stack = self._request["flash_origin"], 0
        self.core.reg_write(self._stack, stack)
        self.core.reg_write(self._link, at["halt"] | self._is_arm)
        timeout = TIMEOUT_US if is_boot else 0  # whose thread would cost every example a millisecond
        self.core.emu_start(first | self._is_arm, at["halt"], timeout=timeout)
        if self.core.reg_read(self._counter) != at["halt"]:
            raise TimeoutError("the image does not end")
        scores = bytes(self.core.mem_read(at["net_scores"], 4 * self._request["n_classes"]))
        return scores, self.core.reg_read(self._result)

    def find_deepest(self) -> int:
        """Bytes of the stack that were written since the beginning."""
        begin = self._request["ram_origin"] + self._request["static"]
        free = self.core.mem_read(begin, self._request["symbols"]["stack_top"] - begin)
        return len(free.lstrip(bytes([PATTERN])))

    def check_end(self) -> None:
        """Check that nothing was written behind the RAM of the chip, as far as the last page of it reaches."""
        end, n = self._request["ram_origin"] + self._request["ram_bytes"], self._request["ram_bytes"]
        if self.core.mem_read(end, self._ram_bytes - n).strip(bytes([PATTERN])):
            raise MemoryError("the image writes behind the RAM of its chip")


def _round_up(n: int, page: int) -> int:
    return -(-n // page) * page


def count_instructions(machine: Machine, flash: bytes, origin: int) -> Counter[int]:
    """Count, from now on, instructions by the address of their block."""
    counts: Counter[int] = Counter()
    lengths: dict[tuple[int, int], int] = {}
    is_arm = machine._is_arm

    def step(_core: object, address: int, size: int, _data: object) -> None:
        if (address, size) not in lengths:
            lengths[address, size] = count_block(flash[address - origin : address - origin + size], is_arm=is_arm)
        counts[address] += lengths[address, size]

    machine.core.hook_add(unicorn.UC_HOOK_BLOCK, step)
    return counts


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text("utf-8"))
    flash = (folder / "flash.bin").read_bytes()
    inputs = np.load(folder / "inputs.npy", allow_pickle=False)
    machine = Machine(request, flash, is_wide=True)
    boot = machine.run(inputs[0].tobytes(), is_boot=True)[0]
    found = [machine.run(row.tobytes()) for row in inputs]
    scores = np.frombuffer(b"".join(scores for scores, _ in found), "<i4").reshape(len(inputs), -1)
    np.save(folder / "scores.npy", scores)
    np.save(folder / "classes.npy", np.array([answer for _, answer in found], np.int64))
    counted = Machine(request, flash, is_wide=False)
    counts = count_instructions(counted, flash, request["flash_origin"])
    for row in inputs[: request["n_counted"]]:
        counted.run(row.tobytes())
    machine.check_end()
    counted.check_end()
    names = sorted(request["functions"], key=lambda name: request["functions"][name][0])
    begins = [request["functions"][name][0] for name in names]
    by_function: Counter[str] = Counter()
    for address, n in counts.items():
        by_function[names[bisect_right(begins, address) - 1]] += n
    seen = {"boots": boot == found[0][0], "deepest": max(machine.find_deepest(), counted.find_deepest())}
    (folder / "seen.json").write_text(json.dumps({**seen, "instructions": by_function}), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
