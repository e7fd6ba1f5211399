"""Micro-benchmarks: a row for each model, runtime and batch of the registries. `nox -s microbench` times them all.

Otherwise each row of a default model is called once, to see that it works; what needs a compiler, an extra or a GPU is
slow. One process is one sample: these figures are for the eyes of a developer, the suite's own come from several.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlmi_bench.backends import BACKENDS, Runner
from dlmi_bench.backends.needs import find_nothing
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_versions
from dlmi_bench.instruments.latency import N_WARMUP, Plan, measure_latency
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.parity import compute_tolerance
from dlmi_bench.jobs.profile import run_prepare_job
from dlmi_bench.jobs.profile_protocol import PrepareAnswer, PrepareRequest
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.records import ARM
from dlmi_models import MODELS
from dlmi_tasks import get_task

BATCHES = (1, 64)
N_ROUNDS = 100


@dataclass(frozen=True)
class Row:
    """One micro-benchmark."""

    model: str
    backend: str
    batch: int

    @property
    def name(self) -> str:
        return f"{self.model}-{self.backend}-b{self.batch}"

    @property
    def is_everywhere(self) -> bool:
        """Whether any installation can run it, at once."""
        return BACKENDS[self.backend].find_missing is find_nothing

    @property
    def subject(self) -> Subject:
        return Subject(kind="model", name=self.model, input_shape=MODELS[self.model].usual.input_shape)


# Arms differ in where their weights come from, which costs nothing at inference.
ROWS = [Row(m, b, n) for m in MODELS if ARM not in m for b in BACKENDS for n in BATCHES]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All rows where benchmarks are timed; full-size models are slow as well. Else those of default models."""
    if "row" not in metafunc.fixturenames:
        return
    is_timed = metafunc.config.getoption("benchmark_enable")
    params = []
    for row in ROWS:
        is_default = any(row.model in get_task(name).default_models for name in ("usps", "spect"))
        marks = [pytest.mark.benchmark] if is_timed else []
        if not (is_default if is_timed else row.is_everywhere):
            marks.append(pytest.mark.slow)
        if is_timed or is_default:
            params.append(pytest.param(row, id=row.name, marks=marks))
    metafunc.parametrize("row", params)


@pytest.fixture(scope="module")
def prepare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Row], dict[str, str]]:
    """Files of a model by role, all that the chosen rows load, made when a row first needs one."""
    rows = [item.callspec.params.get("row") for item in request.session.items if hasattr(item, "callspec")]
    chosen = [row for row in rows if isinstance(row, Row)]
    made: dict[str, PrepareAnswer] = {}

    def find(row: Row) -> dict[str, str]:
        if row.model not in made:
            backends = dict.fromkeys(other.backend for other in chosen if other.model == row.model)
            request = PrepareRequest(
                subject=row.subject,
                folder=str(tmp_path_factory.mktemp("row")),
                n_examples=max(BATCHES),
                backends=tuple(backends),
            )
            made[row.model] = run_prepare_job(request, lambda *_: None)
        answer = made[row.model]
        role = BACKENDS[row.backend].artifact_role
        assert role not in answer.errors, answer.errors[role]
        return answer.paths

    return find


@pytest.fixture
def pinned() -> Iterator[CpuHopper]:
    """One CPU for this row, and all of them again for the next."""
    compute_machine_id()  # kept from here on: a pinned process sees a machine of fewer CPUs
    allowed = os.sched_getaffinity(0)
    hopper = CpuHopper()
    yield hopper
    os.sched_setaffinity(0, allowed)


def describe(row: Row, runner: Runner, path: Path, *, is_pinned: bool) -> dict[str, Any]:
    """What a row says of itself in the JSON; the fingerprint changes with whatever can move its time."""
    identity = {"model": row.model, "backend": row.backend, "batch": row.batch, **runner.conditions}
    origin = {"versions": describe_versions(), "machine_id": compute_machine_id(), "is_pinned": is_pinned}
    artifact = hashlib.sha256(path.read_bytes()).hexdigest()
    parts = json.dumps([identity, origin, artifact, N_ROUNDS, N_WARMUP], sort_keys=True)
    fingerprint = hashlib.sha256(parts.encode()).hexdigest()
    macs = MODELS[row.model].compute_macs(row.subject.input_shape)
    return identity | origin | {"macs": macs, "artifact_sha256": artifact, "fingerprint": fingerprint}


def test_row(row: Row, prepare: Callable[[Row], dict[str, str]], pinned: CpuHopper, benchmark: Any) -> None:
    """A prepared call answers like eager; timed, it is warmed up and counted into rounds like every latency here."""
    entry = BACKENDS[row.backend]
    if missing := entry.find_missing():
        pytest.skip(missing)
    paths = prepare(row)
    path = Path(paths[entry.artifact_role])
    runner = entry.load(path)
    call = runner.prepare(np.load(paths["images"])[: row.batch])
    benchmark.group = f"{row.backend}, batch {row.batch}"
    with runner.active():
        if benchmark.disabled:
            outputs = benchmark(call)
        else:
            n_calls = measure_latency({"row": call}, Plan(n_rounds=1), pin=pinned)["row"].n_calls
            outputs = benchmark.pedantic(call, rounds=N_ROUNDS, iterations=n_calls, warmup_rounds=1)
            benchmark.extra_info.update(describe(row, runner, path, is_pinned=pinned.is_pinned))
    scores, expected = runner.read(outputs), np.load(paths["eager"])[: row.batch]
    assert scores.shape == expected.shape
    assert np.isfinite(scores).all()
    if entry.precision == "float32":
        assert np.abs(scores - expected).max() <= compute_tolerance(expected)
