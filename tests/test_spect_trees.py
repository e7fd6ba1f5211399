"""Folders as people have them: who is in, with the right stage, and every other image with its reason."""

from pathlib import Path

import numpy as np
import pytest

from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.cohort.template import Template
from dlmi_tasks.spect.ppmi.dataset import read_scans
from dlmi_tasks.spect.ppmi.download import Download, inspect_download
from dlmi_tasks.spect.ppmi.options import Options
from dlmi_tasks.spect.preprocess import Extracts, Preprocessing
from spect_trees import TREES, Kit, list_images

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kit(ppmi_original: Path, ppmi_visits: list[Visit], templates: list[Template]) -> Kit:
    return Kit(ppmi_original, ppmi_visits, templates)


@pytest.fixture(scope="module")
def whole(kit: Kit, spect_cache: Path) -> dict[tuple[str, int], Extracts]:
    """The scans of the download as it is handed out, by subject and number."""
    download, extracts = read_scans(inspect_download(kit.original, Options()), Preprocessing(), spect_cache)
    return dict(zip(number_scans(download), extracts, strict=True))


def number_scans(download: Download) -> list[tuple[str, int]]:
    """Subjects with the number of each scan, in the order of their days or visits."""
    keys = [(scan.image.subject, str(scan.image.day or scan.event)) for scan in download.used]
    return [(subject, sorted(k for k in keys if k[0] == subject).index((subject, when))) for subject, when in keys]


@pytest.mark.parametrize("name", TREES)
def test_tree(name: str, kit: Kit, whole: dict[tuple[str, int], Extracts], spect_cache: Path, tmp_path: Path) -> None:
    """Nobody gets a wrong stage, no image is lost without a word, and images are those of the plain download."""
    tree, folder = TREES[name], tmp_path / "data"
    tree.build(kit, folder)
    options = Options(assumes_pd=bool(tree.settings.get("assumes_pd")))
    download, extracts = read_scans(inspect_download(folder, options), Preprocessing(), spect_cache)
    patients = {visit.patient.subject: visit.patient.stage for visit in kit.visits}
    n_scans = sum(bool(visit.patient.stage) for visit in kit.visits)
    used = download.used
    assert len(used) == (0 if tree.n_missing < 0 else n_scans - tree.n_missing), download.describe()["out"]
    assert [scan.label for scan in used] == [patients[scan.image.subject] - 1 for scan in used]
    said = "\n".join(f"{problem.where}: {problem.reason}" for problem in download.left_out)
    assert all(reason in said for reason in tree.reasons), said
    left_out = {problem.where for problem in download.left_out}
    images = list_images(kit.original if name == "folder of links" else folder)
    left_out &= {str(path) for path in download.walked.images}
    n_known = len(used) + len(left_out) + download.gathered.n_copies + sum(download.gathered.elsewhere.values())
    assert n_known == len(images)
    for key, found in zip(number_scans(download), extracts, strict=True):
        if key in whole and tree.n_missing == 0:
            np.testing.assert_allclose(found.planes, whole[key].planes, rtol=1e-5)
