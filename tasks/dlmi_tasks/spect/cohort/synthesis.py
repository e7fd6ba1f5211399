"""Scan a whole cohort once, on all cores, and keep what preprocessing needs of it in the cache."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import numpy as np

from dlmi_tasks.files.archives import Progress
from dlmi_tasks.files.cache import ArrayDict, compute_key, load_or_make
from dlmi_tasks.spect.anatomy.anatomy import Regions, load_anatomies
from dlmi_tasks.spect.anatomy.grid import SHAPE
from dlmi_tasks.spect.cohort.cohort import CohortSpec, Patient, sample_patient
from dlmi_tasks.spect.cohort.imaging import Counts, image_patient
from dlmi_tasks.spect.cohort.template import Template, make_templates
from dlmi_tasks.spect.preprocess import Extracts, extract, join_extracts

# Window and measured regions lie in these slices; only the hottest window needs the rest.
USED = slice(35, 52)
CHUNK = 12  # scans per piece of work
# Code that decides what is cached.
SOURCES = (
    "dlmi_tasks.spect.anatomy.grid",
    "dlmi_tasks.spect.anatomy.atlas",
    "dlmi_tasks.spect.anatomy.anatomy",
    "dlmi_tasks.spect.cohort.population",
    "dlmi_tasks.spect.cohort.cohort",
    "dlmi_tasks.spect.cohort.optics",
    "dlmi_tasks.spect.cohort.template",
    "dlmi_tasks.spect.cohort.imaging",
    "dlmi_tasks.spect.preprocess",
    "dlmi_tasks.spect.cohort.synthesis",
)

Count = Callable[[int, int], None]  # scans done so far, and in all


@dataclass(frozen=True)
class Visit:
    """One scan to make."""

    patient: Patient
    number: int = 0


def list_visits(patients: list[Patient]) -> list[Visit]:
    return [Visit(patient, number) for patient in patients for number in range(patient.n_visits)]


def load_cohort(
    spec: CohortSpec,
    n_patients: int,
    *,
    slices: str = "window",
    cache: Path | None = None,
    n_workers: int | None = None,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> tuple[list[Visit], Extracts]:
    """The first `n_patients` of a cohort, every visit, patients in order.

    Args:
        n_workers: Processes; None takes each core this process may use.

    Raises:
        FetchError: the archive of the anatomies cannot be obtained.
    """
    visits = list_visits([sample_patient(spec, i) for i in range(n_patients)])
    key = compute_key(spec, n_patients, slices, modules=SOURCES)

    def make() -> ArrayDict:
        return asdict(
            scan_visits(visits, slices, cache=cache, n_workers=n_workers, on_progress=on_progress, on_scan=on_scan)
        )

    return visits, Extracts(**load_or_make(f"spect-{spec.preset}-{key}", make, cache=cache))


def scan_visits(
    visits: list[Visit],
    slices: str = "window",
    *,
    cache: Path | None = None,
    n_workers: int | None = None,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> Extracts:
    """Image each visit and keep what preprocessing needs of it, in the order given."""
    anatomies = load_anatomies(cache, on_progress)
    workplace = Workplace(make_templates(anatomies), anatomies.regions, slices)
    chunks = [visits[i : i + CHUNK] for i in range(0, len(visits), CHUNK)]
    n_workers = min(n_workers or len(os.sched_getaffinity(0)), len(chunks))
    run = _run_here if n_workers == 1 else _run_pool
    parts: dict[int, Extracts] = {}
    n_done = 0
    for i, part in run(workplace, chunks, n_workers):
        parts[i] = part
        n_done += len(chunks[i])
        if on_scan:
            on_scan(n_done, len(visits))
    return join_extracts([parts[i] for i in range(len(chunks))])


@dataclass(frozen=True)
class Workplace:
    """Data that every worker needs: a few tens of MB, sent once."""

    templates: list[Template]
    regions: Regions
    slices: str

    def scan(self, visits: list[Visit]) -> Extracts:
        return extract([self._make_volume(visit) for visit in visits], self.slices, self.regions)

    def _make_volume(self, visit: Visit) -> Counts:
        """The volume, of which only the slices that will be used are filled."""
        used = slice(0, SHAPE[0]) if self.slices == "hottest" else USED
        volume = np.zeros(SHAPE, dtype=np.uint16)
        volume[used] = image_patient(visit.patient, self.templates, visit=visit.number, slices=used)
        return volume


def _run_here(workplace: Workplace, chunks: list[list[Visit]], _: int) -> Iterator[tuple[int, Extracts]]:
    for i, chunk in enumerate(chunks):
        yield i, workplace.scan(chunk)


_workplaces: list[Workplace] = []  # one in each worker process


def _settle(workplace: Workplace) -> None:
    _workplaces.append(workplace)


def _scan_there(chunk: list[Visit]) -> Extracts:
    return _workplaces[0].scan(chunk)


def _run_pool(workplace: Workplace, chunks: list[list[Visit]], n_workers: int) -> Iterator[tuple[int, Extracts]]:
    """Run the chunks in fresh processes, not forks: a fork of a process with threads can hang."""
    context = get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, _settle, (workplace,)) as pool:
        with hidden_main():  # processes start when work is submitted
            futures: dict[Future[Extracts], int] = {pool.submit(_scan_there, c): i for i, c in enumerate(chunks)}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def hidden_main() -> Iterator[None]:
    """Keep new processes from running the program's main file again, of which they need nothing.

    A script without a main guard would load its data there once more, and wait for its parent for ever.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
