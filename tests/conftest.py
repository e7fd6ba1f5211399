"""Fixtures: the official files where they are at hand, the installed command, one real run for many tests."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from spect_fixtures import anatomies, ppmi_original, ppmi_visits, spect_cache, templates  # noqa: F401 - fixtures
from stand_ins import PRODUCT, Command, FakeClock, write_product

# One thread, as in every worker: two threads on a busy machine are many times slower than one. Before torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A property is about values. How long an example takes says what else this machine does.
hypothesis.settings.register_profile("values", deadline=None)
hypothesis.settings.load_profile("values")

TINY_SUITE = """
tasks = ["usps"]
models = ["softmax"]
n_seeds = 2
n_processes = 2
n_rounds = 10
batches = [1, 4]
energy_window_s = 0.2
"""


@pytest.fixture(autouse=True)
def unchanged_settings() -> Iterator[None]:
    """Fail a test that leaves a setting of ours in the environment, where every later test would find it."""
    before = {name: value for name, value in os.environ.items() if name.startswith("DLMI_")}
    yield
    assert {name: value for name, value in os.environ.items() if name.startswith("DLMI_")} == before


@pytest.fixture
def own_settings() -> Iterator[None]:
    """For commands and studies in this process, which name settings for their workers: put back afterwards."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with data that is not ours to publish; set DLMI_BENCH_SHARED, or keep `shared` beside the checkout."""
    return Path(os.environ.get("DLMI_BENCH_SHARED", Path(__file__).parent.parent.parent / "shared"))


@pytest.fixture(scope="session")
def recorded(shared: Path) -> dict[str, list[dict[str, list[float]]]]:
    """A/A sessions by mode: for each process the ratios of two equal programs, round by round, in two series."""
    path = shared / "data" / "gate" / "aa_sessions.json"
    if not path.is_file():
        pytest.skip(f"the recorded sessions are not in {path.parent}")
    return {mode: sessions for mode, sessions in json.loads(path.read_text()).items() if mode != "about"}


@pytest.fixture(scope="session")
def official(shared: Path) -> Path:
    """Folder with the official USPS files."""
    folder = shared / "data" / "usps"
    if not (folder / "zip.train.gz").is_file():
        pytest.skip(f"the official files are not in {folder}")
    return folder


@pytest.fixture(scope="session")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `my model.onnx`, `my test.npz` of its own answers and `my baseline` of both; to read or to copy."""
    from dlmi_bench.gating.sides.files import save_files

    folder = tmp_path_factory.mktemp("gated")
    x = np.random.default_rng(0).standard_normal((400, 6)).astype(np.float32)
    np.savez(folder / "my test.npz", x=x, y=(x @ PRODUCT).argmax(1))
    save_files((write_product(folder / "my model.onnx"),), folder / "my test.npz", folder / "my baseline", "first")
    return folder


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A command whose folder holds the finished run of a tiny suite in `out`, on real data."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(TINY_SUITE)
    ran = Command(folder)
    done = ran("run", "--suite", "tiny.toml")
    assert done.returncode == 0, done.stderr
    return ran
