"""Families of microcontrollers: a row for each. A new one needs a row, and perhaps start-up code in `files/`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A family, with a small chip of it, whose memories a net has to fit into.

    Attributes:
        triple, cpu: What the compiler is told.
        start: Start-up code in `files/`.
        machine: Architecture and core that the simulator is told, by the names of its constants.
        chip: Example of the family, which the sizes are of.
        flags: More of what the compiler is told.
    """

    name: str
    triple: str
    cpu: str
    start: str
    machine: tuple[str, str]
    chip: str
    flash_bytes: int
    ram_bytes: int
    flags: tuple[str, ...] = ()
    flash_origin: int = 0x08000000
    ram_origin: int = 0x20000000


ARM, RISCV = "thumb-freestanding-eabi", "riscv32-freestanding"
# Eight registers are too few for a pointer to whatever a loop reads: indices take less code, and fewer instructions.
FEW_REGISTERS = ("-mllvm", "-disable-lsr")
KIB = 1024
TARGETS = {
    target.name: target
    for target in (
        Target(
            *("cortex-m0plus", ARM, "cortex_m0plus", "start-arm.c", ("arm", "UC_CPU_ARM_CORTEX_M0")),
            *("STM32L011", 16 * KIB, 2 * KIB, FEW_REGISTERS),
        ),
        Target(
            *("cortex-m4", ARM, "cortex_m4", "start-arm.c", ("arm", "UC_CPU_ARM_CORTEX_M4")),
            *("STM32F401xB", 128 * KIB, 64 * KIB),
        ),
        Target(
            *("rv32imc", RISCV, "generic_rv32+m+c", "start-riscv.c", ("riscv", "UC_CPU_RISCV32_ANY")),
            *("GD32VF103x8", 64 * KIB, 20 * KIB),
        ),
    )
}
