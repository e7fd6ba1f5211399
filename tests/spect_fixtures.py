"""What the tests of the SPECT task share: anatomies, a small cohort in PPMI's layout, and its tables."""

import shutil
from pathlib import Path

import pytest

from dlmi_bench.errors import FetchError
from dlmi_tasks.files.archives import cache_dir
from dlmi_tasks.spect.anatomy.anatomy import Anatomies, load_anatomies
from dlmi_tasks.spect.cohort.cohort import CohortSpec, sample_control, sample_patient
from dlmi_tasks.spect.cohort.synthesis import Visit, list_visits
from dlmi_tasks.spect.cohort.template import Template, make_templates
from dlmi_tasks.spect.ppmi.writer import write_cohort


@pytest.fixture(scope="session")
def anatomies() -> Anatomies:
    """The real anatomies, through the user's own cache: built once on a machine, read by every later run."""
    try:
        return load_anatomies()
    except FetchError as error:
        pytest.skip(f"the archive of the anatomies cannot be had here: {error.cause}")


@pytest.fixture(scope="session")
def spect_cache(anatomies: Anatomies, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the tests' own that holds the anatomies and nothing else yet."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "data").mkdir()
    for path in (cache_dir() / "data").glob("spect-anatomy-*.npz"):
        shutil.copy(path, folder / "data")
    return folder


@pytest.fixture(scope="session")
def templates(anatomies: Anatomies) -> list[Template]:
    return make_templates(anatomies)


@pytest.fixture(scope="session")
def ppmi_visits() -> list[Visit]:
    """Nine patients, three a stage, some with several visits, and one control."""
    spec = CohortSpec(max_visits=2)
    return list_visits([*(sample_patient(spec, i) for i in range(9)), sample_control(spec, 0)])


@pytest.fixture(scope="session")
def ppmi_original(
    ppmi_visits: list[Visit], templates: list[Template], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A whole download, current layout, DICOM. Not to be changed: see the fixture `ppmi`."""
    folder = tmp_path_factory.mktemp("ppmi")
    write_cohort(ppmi_visits, templates, folder)
    return folder
