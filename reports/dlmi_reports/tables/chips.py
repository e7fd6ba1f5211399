"""Common microcontrollers with little memory: whether a net has room on one is a comparison of bytes."""

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True)
class Chip:
    """A microcontroller.

    Attributes:
        target: Its family; a row of `dlmi_bench.firmware.targets`.
        flash_bytes, ram_bytes: Of its own; RAM in one piece, without memories beside it.
        source: Where both stand.
    """

    name: str
    target: str
    flash_bytes: int
    ram_bytes: int
    source: str


LPC80X = "NXP, LPC802 and LPC804 data sheets; target descriptions of probe-rs"
L13XX = "Texas Instruments, data sheet SLASEX0D, memory map"
C110X = "Texas Instruments, data sheet SLASF90B, table 8-4"
# By family, and by memory in it.
CHIPS = (
    Chip("MSPM0C1103", "cortex-m0plus", 8 * KIB, 1 * KIB, C110X),
    Chip("MSPM0C1104", "cortex-m0plus", 16 * KIB, 1 * KIB, C110X),
    Chip("MSPM0L1304", "cortex-m0plus", 16 * KIB - 8, 2 * KIB, L13XX),
    Chip("STM32L011x4", "cortex-m0plus", 16 * KIB, 2 * KIB, "STMicroelectronics, STM32L011x3/x4 data sheet"),
    Chip("LPC802", "cortex-m0plus", 16 * KIB, 2 * KIB, LPC80X),
    Chip("MSPM0L1305", "cortex-m0plus", 32 * KIB - 8, 4 * KIB, L13XX),
    Chip("LPC804", "cortex-m0plus", 32 * KIB, 4 * KIB, LPC80X),
    Chip("GD32F310x4", "cortex-m4", 16 * KIB, 4 * KIB, "GigaDevice; target descriptions of probe-rs"),
    Chip("STM32F334x4", "cortex-m4", 16 * KIB, 12 * KIB, "STMicroelectronics; target descriptions of probe-rs"),
    Chip("STM32L412x8", "cortex-m4", 64 * KIB, 32 * KIB, "STMicroelectronics; target descriptions of probe-rs"),
    Chip("nRF52810", "cortex-m4", 192 * KIB, 24 * KIB, "Nordic Semiconductor, nRF52810 product specification, memory"),
    Chip("CH32V203x8", "rv32imc", 64 * KIB, 20 * KIB, "WCH, CH32V203 data sheet, as WeAct's boards quote it"),
    Chip("GD32VF103xB", "rv32imc", 128 * KIB, 32 * KIB, "GigaDevice; Zephyr's description of GD32VF103C-STARTER"),
)


def find_shortage(chip: Chip, flash_bytes: float, ram_bytes: float) -> str:
    """Memory that an image has no room in; empty where it fits."""
    short = [("flash", flash_bytes > chip.flash_bytes), ("RAM", ram_bytes > chip.ram_bytes)]
    return " and ".join(name for name, is_short in short if is_short)
