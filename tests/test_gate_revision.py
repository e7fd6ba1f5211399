"""Other commits beside this one: worktrees, interpreters, versions, and what is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from dlmi_bench.gating.latency.benchmark import Prepared, PrepareSideRequest, RoundRequest
from dlmi_bench.gating.sides.candidate import ExportRequest
from dlmi_bench.gating.sides.revision import RevisionError, open_revision
from stand_ins import plant
from test_gate_run import IDENTITY, make_benchmarks

VERSIONS = "def describe_versions():\n    return {{'runtime': {version!r}}}\n"


def commit(folder: Path, version: str, constraints: str) -> None:
    """A commit of a project whose runtime has that version."""
    code = {"bench/__init__.py": "", "bench/environment.py": VERSIONS.format(version=version)}
    plant(folder, code | {"constraints.txt": constraints})
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", version]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)  # noqa: S607


def list_worktrees(folder: Path) -> list[str]:
    done = subprocess.run(["git", "-C", str(folder), "worktree", "list"], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.splitlines()


def test_same_dependencies_share_this_interpreter(tmp_path: Path) -> None:
    """The other commit's own code answers, run by this interpreter; its worktree is gone afterwards."""
    commit(tmp_path, "1", "numpy==2")
    commit(tmp_path, "2", "numpy==2")
    with open_revision("HEAD~1", root=tmp_path) as revision:
        assert revision.software.python == Path(sys.executable)
        assert (revision.name, len(revision.commit), revision.versions) == ("HEAD~1", 40, {"runtime": "1"})
        assert revision.list_changes({"runtime": "2"}) == ("runtime 1 -> 2",)
        assert len(list_worktrees(tmp_path)) == 2
    assert len(list_worktrees(tmp_path)) == 1


def test_named_interpreters_are_taken_as_they_are(tmp_path: Path) -> None:
    """Nothing is installed for an interpreter that was named; one that cannot run is an error with a remedy."""
    commit(tmp_path, "1", "numpy==1")
    commit(tmp_path, "2", "numpy==2")
    with open_revision("HEAD~1", Path(sys.executable), tmp_path) as revision:
        assert revision.versions == {"runtime": "1"}
    with (
        pytest.raises(RevisionError, match="/no/such/python") as caught,
        open_revision("HEAD~1", Path("/no/such/python"), tmp_path),
    ):
        pass
    assert "--against-python" in caught.value.remedy
    assert len(list_worktrees(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_user", ["0", "1"])
def test_other_dependencies_get_an_environment_of_their_own(
    is_user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made by pip, wherever the user's settings install; the error says how to name an interpreter instead."""
    monkeypatch.setenv("PIP_USER", is_user)
    commit(tmp_path, "1", "numpy==1")
    commit(tmp_path, "2", "numpy==2")
    said: list[str] = []
    with (
        pytest.raises(RevisionError, match="installing the versions") as caught,
        open_revision("HEAD~1", root=tmp_path, on_progress=lambda what, _: said.append(what)),
    ):
        pass  # the commit has no pyproject.toml, so pip cannot install it
    assert "--against-python" in caught.value.remedy
    assert "--user" not in caught.value.cause
    assert "minutes" in said[0]
    assert len(list_worktrees(tmp_path)) == 1


@pytest.mark.parametrize("is_checkout", [True, False])
def test_unknown_commits_are_named(*, is_checkout: bool, tmp_path: Path) -> None:
    """A commit that is not there, and a folder that is no checkout, are errors that name what was asked for."""
    if is_checkout:
        commit(tmp_path, "1", "")
    with pytest.raises(RevisionError, match="no-such-commit") as caught, open_revision("no-such-commit", root=tmp_path):
        pass
    assert "git rev-parse" in caught.value.remedy


def test_fields_on_the_wire_are_those_of_other_commits() -> None:
    """Workers of another commit take these fields and answer with these; one that says nothing of pinning is heard."""
    (benchmark,) = make_benchmarks("a").values()
    prepare = PrepareSideRequest(benchmark=benchmark, artifact=benchmark.baseline).model_dump(mode="json")
    sizes = {"batch": 1, "input_shape": [1, 16, 16], "candidate_shape": [1, 16, 16], "extra_calls": 0.0, "n_calls": 0}
    files = {"baseline": "x", "candidate": "y"}
    assert prepare == {"benchmark": {"backend": "onnxruntime", **sizes, **files}, "artifact": "x"}
    assert PrepareSideRequest.parse_answer({"n_calls": 9, "conditions": IDENTITY}) == Prepared(9, IDENTITY)
    assert RoundRequest(cpu=3).model_dump(mode="json") == {"cpu": 3}
    assert RoundRequest.parse_answer([2.0, 1.0]) == (2.0, 1.0, True)
    assert RoundRequest.parse_answer([2.0, 1.0, False]) == (2.0, 1.0, False)
    export = ExportRequest(baseline=Path("b"), name="usps/a", to=Path("t")).model_dump(mode="json")
    assert export == {"baseline": "b", "name": "usps/a", "to": "t"}
