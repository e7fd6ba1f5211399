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
TIMEOUT_US = 30 * 10**6  # of the first example
PATTERN = 0xA5  # of RAM that nobody has written


class Machine:
    """A core with flash that cannot be written, RAM, and an image."""

    def __init__(self, request: dict[str, Any], flash: bytes) -> None:
        self._request, self._is_arm = request, request["machine"][0] == "arm"
        constants: Any = arm_const if self._is_arm else riscv_const
        kind = (unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.core = unicorn.Uc(*(kind if self._is_arm else (unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)))
        self.core.ctl_set_cpu_model(getattr(constants, request["machine"][1]))
        names = ("ARM_REG_SP", "ARM_REG_LR", "ARM_REG_R0", "ARM_REG_PC")
        names = names if self._is_arm else ("RISCV_REG_SP", "RISCV_REG_RA", "RISCV_REG_A0", "RISCV_REG_PC")
        self._stack, self._link, self._result, self._counter = (getattr(constants, f"UC_{name}") for name in names)
        self.core.mem_map(request["flash_origin"], _round_up(len(flash)), unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        ram = request["ram_origin"], request["ram_bytes"]
        self.core.mem_map(ram[0], _round_up(ram[1]), unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        self.core.mem_write(request["flash_origin"], flash)
        self.core.mem_write(ram[0], bytes([PATTERN]) * ram[1])

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


def _round_up(n: int) -> int:
    return -(-n // PAGE) * PAGE


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
    machine = Machine(request, flash)
    boot = machine.run(inputs[0].tobytes(), is_boot=True)[0]
    found = [machine.run(row.tobytes()) for row in inputs]
    scores = np.frombuffer(b"".join(scores for scores, _ in found), "<i4").reshape(len(inputs), -1)
    np.save(folder / "scores.npy", scores)
    np.save(folder / "classes.npy", np.array([answer for _, answer in found], np.int64))
    counted = Machine(request, flash)
    counts = count_instructions(counted, flash, request["flash_origin"])
    for row in inputs[: request["n_counted"]]:
        counted.run(row.tobytes())
    names = sorted(request["functions"], key=lambda name: request["functions"][name][0])
    begins = [request["functions"][name][0] for name in names]
    by_function: Counter[str] = Counter()
    for address, n in counts.items():
        by_function[names[bisect_right(begins, address) - 1]] += n
    seen = {"boots": boot == found[0][0], "deepest": max(machine.find_deepest(), counted.find_deepest())}
    (folder / "seen.json").write_text(json.dumps({**seen, "instructions": by_function}), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
