"""Kinds of machine: what tells two apart, and what does not."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from dlmi_bench.deciding.arms import Arm
from dlmi_bench.deciding.session import estimate_times
from dlmi_bench.instruments.host import kinds
from dlmi_bench.instruments.host.kinds import UNKNOWN, describe_kind, describe_own_kind, is_here
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_environment
from dlmi_bench.store import Store
from dlmi_reports.results.load import load_results
from report_stores import FAST, SLOW, train_on

XEON = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"


def make_provenance(cpu: str = XEON, machine_id: str = "a", **changes: JsonValue) -> dict[str, JsonValue]:
    settings = {name: changes.pop(name) for name in ("cpu_limit", "gpus") if name in changes}
    machine = {"cpu": cpu, "n_cpus": 8, "n_cpus_allowed": 8, "memory_bytes": 1, "system": "Linux 6.1"} | changes
    return {"machine": machine, "machine_id": machine_id, "settings": settings}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "Intel Xeon Platinum 8481C @ 2.70GHz, 8 CPUs"),
        ({"n_cpus_allowed": 4}, "Intel Xeon Platinum 8481C @ 2.70GHz, 4 of 8 CPUs"),
        ({"cpu_limit": 1.5}, "Intel Xeon Platinum 8481C @ 2.70GHz, 1.5 of 8 CPUs"),
        ({"n_cpus": 1, "n_cpus_allowed": 1}, "Intel Xeon Platinum 8481C @ 2.70GHz, 1 CPU"),
        ({"is_virtual": True}, "Intel Xeon Platinum 8481C @ 2.70GHz, 8 CPUs, virtual"),
        ({"cpu": "AMD EPYC 7B13 64-Core Processor"}, "AMD EPYC 7B13 64-Core, 8 CPUs"),
        (
            {"gpus": [{"name": "NVIDIA L4"}, {"name": "NVIDIA H200"}, {"name": "NVIDIA L4"}, {"name": None}]},
            "Intel Xeon Platinum 8481C @ 2.70GHz, 8 CPUs, NVIDIA H200, 2 x NVIDIA L4, unnamed GPU",
        ),
    ],
)
def test_what_decides_times_is_in_the_name(changes: dict[str, JsonValue], name: str) -> None:
    """Processor, CPUs that could be used, by the control group too, virtual or not, and GPUs."""
    assert describe_kind(make_provenance(**changes)) == name  # type: ignore[arg-type]


def test_equal_nodes_are_one_kind() -> None:
    """Another fingerprint by memory and kernel alone is the same kind."""
    other = make_provenance(machine_id="b", memory_bytes=2, system="Linux 6.2", architecture="x86_64")
    assert describe_kind(other) == describe_kind(make_provenance())


@pytest.mark.parametrize(
    "cpu", ["Intel(R) Xeon(R) Processor", "Intel(R) Xeon(R) CPU @ 2.20GHz", "aarch64", "QEMU Virtual CPU version 2.5+"]
)
def test_processors_without_a_model_are_told_apart_by_fingerprint(cpu: str) -> None:
    """Any generation may hide behind such a name, so two machines of it are two kinds."""
    one, two = (describe_kind(make_provenance(cpu, machine_id)) for machine_id in "ab")
    assert one != two
    assert " a, 8 CPUs" in one


def test_machine_that_was_not_described() -> None:
    """Its fingerprint stands for it; without one it is unknown."""
    assert describe_kind({"machine_id": "a"}) == "machine a"
    assert describe_kind({"machine": "damaged", "settings": []}) == UNKNOWN


def test_results_of_here_and_of_equal_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this machine, and of another fingerprint of the same kind; not those of another kind."""
    assert describe_kind(describe_environment()) == describe_own_kind()
    assert is_here({"machine_id": compute_machine_id()})
    monkeypatch.setattr(kinds, "describe_own_kind", lambda: describe_kind(make_provenance()))
    assert is_here(make_provenance(machine_id="b"))
    assert not is_here(make_provenance(machine_id="b", n_cpus_allowed=2))


def test_seeds_are_planned_by_times_of_this_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """4 and 6 s here and 500 s elsewhere are 5 s; a model that was trained elsewhere alone takes what it took there."""
    monkeypatch.setattr(kinds, "describe_own_kind", lambda: FAST)
    trained = (("a", 0, FAST, 4.0), ("a", 1, FAST, 6.0), ("a", 2, SLOW, 500.0), ("b", 0, SLOW, 300.0))
    records = [(train_on(kind, model, index, 0.9, 1.0, 1.0), took_s) for model, index, kind, took_s in trained]
    store = Store(tmp_path)
    store.add_done(
        [(r.model_copy(update={"provenance": r.provenance | {"took_s": took_s}}), "f") for r, took_s in records]
    )
    assert estimate_times(load_results(store)) == {Arm("toy", "a"): 5.0, Arm("toy", "b"): 300.0}
