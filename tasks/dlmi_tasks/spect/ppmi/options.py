"""How a folder of scans is read. Workers inherit it through the environment, as they do the folder itself."""

import os
from dataclasses import dataclass

from dlmi_tasks.spect.ppmi.grouping import Grouping, load_grouping

GROUPING = "DLMI_BENCH_SPECT_GROUPING"
ASSUME_PD = "DLMI_BENCH_SPECT_ASSUME_PD"
REGISTER = "DLMI_BENCH_SPECT_REGISTER"


@dataclass(frozen=True)
class Options:
    """Settings of a folder of scans.

    Attributes:
        grouping: Name of a grouping, or a TOML file with one.
        assumes_pd: Whether subjects of whom no table names the group are patients.
        registers: Whether scans are aligned to the template.
    """

    grouping: str = "stage"
    assumes_pd: bool = False
    registers: bool = False

    @property
    def classes(self) -> Grouping:
        return load_grouping(self.grouping)


def name_options(options: Options) -> None:
    """Make these the options that are found from now on.

    Raises:
        UsageError: there is no such grouping.
    """
    assert options.classes
    os.environ[GROUPING] = options.grouping
    for variable, is_on in ((ASSUME_PD, options.assumes_pd), (REGISTER, options.registers)):
        os.environ[variable] = "1" if is_on else ""


def find_options() -> Options:
    """Find the options that were named, or the defaults."""
    grouping = os.environ.get(GROUPING) or "stage"
    return Options(grouping, bool(os.environ.get(ASSUME_PD)), bool(os.environ.get(REGISTER)))
