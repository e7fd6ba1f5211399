"""What a task asks of a folder of scans, known before its images are read: classes, and how often it trains."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dlmi_tasks.spect.ppmi.download import choose_grouping, inspect_download
from dlmi_tasks.spect.ppmi.grouping import COURSE, Grouping
from dlmi_tasks.spect.ppmi.options import Options
from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.tables.reading import is_listing
from dlmi_tasks.spect.walk import TABLES


class Question(NamedTuple):
    """Classes of a task, and the trainings of one seed, each of which tests on another fold."""

    grouping: Grouping = COURSE
    n_folds: int = 1


@lru_cache(maxsize=16)  # each arm of the task asks
def find_question(folder: Path | None, options: Options) -> Question:
    """Find what is asked of a folder; of the synthetic cohort it is what the course asked.

    Only tables in the folder itself are read, unless its sites have to be counted.

    Raises:
        DataError: not a folder.
        UsageError: there is no such grouping.
    """
    if folder is None:
        return Question()
    if options.holds_out_sites:
        download = inspect_download(folder, options)
        return Question(download.grouping, max(1, len({scan.site for scan in download.used})))
    listings = [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(TABLES) and is_listing(path)]
    return Question(choose_grouping(options, load_tables(listings, root=folder)), options.n_folds)
