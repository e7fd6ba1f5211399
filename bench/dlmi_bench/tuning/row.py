"""Row of the table of tuning; the command prints it as JSON too."""

from dlmi_bench.records import Plain
from dlmi_bench.stats.tuning import Tuning


class TunedRow(Plain):
    """A model with its budget; where there is no recipe to tune, `obstacle` says why."""

    task: str
    model: str
    obstacle: str
    tuning: Tuning | None
