"""How a folder of scans is read. Workers inherit it through the environment, as they do the folder itself."""

import json
import os
from dataclasses import asdict, dataclass

from dlmi_bench.errors import UsageError
from dlmi_tasks.spect.ppmi.grouping import GROUPINGS, LABELS, load_grouping

VARIABLE = "DLMI_BENCH_SPECT_OPTIONS"


@dataclass(frozen=True)
class Options:
    """Settings of a folder of scans.

    Attributes:
        grouping: Name of a grouping, or a TOML file with one; empty takes the labels of a listing, else the stages.
        assumes_pd: Whether subjects of whom no table names the group are patients.
        registers: Whether scans are aligned to the template.
        n_folds: Folds by patient; 1 holds one part out.
        holds_out_sites: Whether each training tests on one site and learns from all others.
        shows_pictures: Whether reports show scans, which are those of participants.
    """

    grouping: str = ""
    assumes_pd: bool = False
    registers: bool = False
    n_folds: int = 1
    holds_out_sites: bool = False
    shows_pictures: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without the folder.

        Raises:
            UsageError: there is no such grouping, or no such number of folds.
        """
        if self.grouping not in ("", LABELS, *GROUPINGS):
            load_grouping(self.grouping)
        if self.n_folds < 1:
            raise UsageError(f"{self.n_folds} folds", "use 2 or more, or 1 for one part that is held out")
        if self.holds_out_sites and self.n_folds > 1:
            raise UsageError("folds by patient and by site", "state one of them")


def name_options(options: Options) -> None:
    """Make these the options that are found from now on."""
    os.environ[VARIABLE] = json.dumps(asdict(options))


def find_options() -> Options:
    """Find the options that were named, or the defaults."""
    return Options(**json.loads(os.environ.get(VARIABLE) or "{}"))
