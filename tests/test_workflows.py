"""Workflows: what their scripts do in bash, in a calling repository whose paths have spaces."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
GATE = ROOT / ".github" / "workflows" / "gate.yml"
TEMPLATE = ROOT / "bench/dlmi_bench/template/.github/workflows/dlmi-bench.yml"
WORKFLOWS = (GATE, ROOT / ".github" / "workflows" / "ci.yml", TEMPLATE)
pytestmark = pytest.mark.skipif(not GATE.is_file(), reason="not a checkout")
Done = subprocess.CompletedProcess[str]
GIT = ("git", "-c", "user.name=x", "-c", "user.email=x@x")
# Stands for a program: keeps its arguments, one a line.
FAKE = '#!/bin/bash\nfor argument in "$@"; do echo "[$argument]"; done >> "$RECORD"\n'


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


class Runner:
    """GitHub's runner for single steps of one job: fills in the inputs and runs the script in the repository."""

    def __init__(self, folder: Path, workflow: Path = GATE) -> None:
        self.folder = folder / "a repository"
        self.programs, self.record, self.summary = folder / "bin", folder / "record", folder / "summary.md"
        for path in (self.folder, self.programs):
            path.mkdir()
        (self.job,) = load(workflow)["jobs"].values()
        declared = load(workflow)[True].get("workflow_call", {}).get("inputs", {})  # YAML reads `on` as true
        self.inputs = {name: spec.get("default", "") for name, spec in declared.items()}

    def fake(self, name: str) -> None:
        """Put a program on the path that only keeps its arguments."""
        path = self.programs / name
        path.write_text(FAKE)
        path.chmod(0o755)

    def __call__(
        self, name: str, inputs: dict[str, str] | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the step of that name; `more` are variables that come from other contexts of GitHub."""
        (step,) = (step for step in self.job["steps"] if step.get("name") == name)
        chosen = self.inputs | (inputs or {})
        declared = {**self.job.get("env", {}), **step.get("env", {})}
        found = {key: re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text) for key, text in declared.items()}
        environment = {key: str(chosen[match[1]]) if match else "" for key, match in found.items()}
        path = os.pathsep.join([str(self.programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        own = {"PATH": path, "RECORD": str(self.record), "GITHUB_STEP_SUMMARY": str(self.summary)}
        own |= {"RUNNER_TEMP": str(self.summary.parent), "GITHUB_ACTIONS": "true"}
        script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(
            script,
            cwd=self.folder,
            env=os.environ | environment | own | more,
            capture_output=True,
            text=True,
            check=False,
        )

    def read_arguments(self) -> list[str]:
        """Arguments that the stand-in got."""
        return [line[1:-1] for line in self.record.read_text().splitlines()]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path: Path) -> None:
    """Every action stands by its commit, with the version beside it; a tag can be moved."""
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_only_read(path: Path) -> None:
    """The token reads the contents and is not left in the checkout; no job asks for more."""
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert all(s["with"]["persist-credentials"] is False for s in job["steps"] if "checkout" in s.get("uses", ""))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_scripts_hold_no_expressions(path: Path) -> None:
    """What callers write reaches a script by its environment only, never as code."""
    steps = [step for job in load(path)["jobs"].values() for step in job["steps"]]
    assert not any("${{" in step.get("run", "") for step in steps)


def test_source_is_explicit(runner: Runner) -> None:
    """There is no default source, and a bare name installs nothing."""
    assert load(GATE)[True]["workflow_call"]["inputs"]["package"]["required"] is True
    runner.fake("pip")
    for name in ("dlmi-bench", "dlmi-bench==0.2.0", "dlmi-bench[torch]"):
        done = runner("Install", {"package": name})
        assert done.returncode == 2
        assert done.stdout.startswith("::error title=Bare name::")
    assert not runner.record.exists()


@pytest.mark.parametrize(
    ("package", "torch", "installed"),
    [
        ("./my wheels/a b.whl", "false", "./my wheels/a b.whl"),
        ("./my wheels/a b.whl", "true", "./my wheels/a b.whl[torch]"),
        ("git+https://host/x@abc", "false", "git+https://host/x@abc"),
        ("git+https://host/x@abc", "true", "dlmi-bench[torch] @ git+https://host/x@abc"),
    ],
)
def test_install_gives_pip_what_was_named(runner: Runner, package: str, torch: str, installed: str) -> None:
    """One argument for the source, with the extra where it is wanted, after one for each further line."""
    runner.fake("pip")
    more = {"extra-pip-arguments": "--find-links\n\na folder\n"}
    assert runner("Install", {"package": package, "torch": torch, **more}).returncode == 0
    assert runner.read_arguments() == ["install", "--find-links", "a folder", installed]


def test_missing_baseline_fails_loudly(runner: Runner) -> None:
    """A baseline that is gone is an error in annotation and summary; nothing is made from today's model."""
    done = runner("Look for the baseline")
    assert done.returncode == 12
    assert done.stdout.startswith("::error title=No baseline::no baseline is committed, and none is cached")
    assert "start the workflow by hand" in runner.summary.read_text()
    (runner.folder / "my baseline").mkdir()
    (runner.folder / "my baseline" / "baseline.json").touch()
    assert runner("Look for the baseline", {"baseline": "my baseline"}).returncode == 0


def test_baseline_is_saved_by_hand_only(runner: Runner) -> None:
    """A reason that a workflow always gives would save each day's model: it is refused unless started by hand."""
    assert runner("Look for the baseline", {"reason": "x"}, IS_SAVING="true").returncode == 0
    done = runner("Look for the baseline", {"reason": "x"}, IS_SAVING="false")
    assert (done.returncode, done.stdout[:32]) == (2, "::error title=Baseline not saved")
    condition = load(GATE)["jobs"]["gate"]["env"]["IS_SAVING"]
    assert "github.event_name == 'workflow_dispatch'" in condition
    saving = [s.get("if") for s in load(GATE)["jobs"]["gate"]["steps"] if "save" in s.get("uses", s.get("run", ""))]
    assert saving[1:] == ["${{ env.IS_SAVING == 'true' }}"] * 2  # the first one only looks for it


FILES = {"onnx": "my models/a b.onnx\n\nc.onnx\n", "test": "my test.npz", "baseline": "my baseline"}


def test_saving_passes_paths_as_they_are(runner: Runner) -> None:
    """Paths and reasons with spaces, quotes and wildcards are one argument each; so is nothing at all."""
    runner.fake("dlmi-bench")
    assert runner("Save the baseline", FILES | {"reason": 'a "b" $(c) *'}).returncode == 0
    own = ["baseline", "save", "--baseline", "my baseline", "--reason", 'a "b" $(c) *']
    assert runner.read_arguments() == [*own, "--onnx=my models/a b.onnx", "--onnx=c.onnx", "--test=my test.npz"]
    runner.record.unlink()
    assert runner("Save the baseline", {"reason": "x"}).returncode == 0
    assert runner.read_arguments() == ["baseline", "save", "--baseline", "baseline", "--reason", "x"]


def test_committed_baseline_is_not_replaced(runner: Runner) -> None:
    """It is changed by a commit, which can be reviewed."""
    runner.fake("dlmi-bench")
    (runner.folder / "my baseline").mkdir()
    (runner.folder / "my baseline" / "baseline.json").touch()
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run([*GIT, *command], cwd=runner.folder, check=True)
    done = runner("Save the baseline", FILES)
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=Committed baseline::")
    assert not runner.record.exists()


def test_judging_passes_arguments_by_lines(runner: Runner) -> None:
    """Files, test set and further arguments come as they were written; the results go where they disturb nobody."""
    runner.fake("dlmi-bench")
    assert runner("Judge", FILES | {"arguments": "--settings\nmy gate.toml\n"}).returncode == 0
    arguments = runner.read_arguments()
    assert arguments[:3] == ["gate", "--baseline", "my baseline"]
    assert arguments[9:] == [
        "--onnx=my models/a b.onnx", "--onnx=c.onnx", "--test=my test.npz", "--settings", "my gate.toml"
    ]  # fmt: skip
    temporary = str(runner.summary.parent)
    assert arguments[3:9:2] == ["--junit", "--json-file", "--summary"]
    assert all(path.startswith(temporary) for path in arguments[4:9:2])


def test_build_command_may_fail(runner: Runner) -> None:
    """The first command of it that fails, also within a pipe, ends the job."""
    assert runner("Build", {"before": "mkdir 'my models'\ntouch 'my models/a b.onnx'"}).returncode == 0
    assert (runner.folder / "my models" / "a b.onnx").exists()
    for command in ("false; true", "false | true", 'echo "$NOT_SET"'):
        assert runner("Build", {"before": command}).returncode != 0


def test_results_are_kept_under_a_name_of_their_own() -> None:
    """Artifact, caches and concurrency carry the name of the call, so that a matrix does not mix them up."""
    job = load(GATE)["jobs"]["gate"]
    upload = next(step["with"] for step in job["steps"] if "upload-artifact" in step.get("uses", ""))
    assert upload["name"] == "gate-${{ inputs.name }}"
    assert upload["path"].split("\n")[:2] == ["${{ runner.temp }}/gate.xml", "${{ runner.temp }}/gate.json"]
    assert job["concurrency"]["group"].endswith("-${{ inputs.name }}")
    keys = [step["with"]["key"] for step in job["steps"] if "actions/cache" in step.get("uses", "")]
    assert len(keys) == 2
    assert all(key.startswith("dlmi-baseline-${{ inputs.name }}/") for key in keys)


def test_template_names_its_source(tmp_path: Path) -> None:
    """Without the variable nothing is installed, and the message says which one; with it torch comes along."""
    runner = Runner(tmp_path, TEMPLATE)
    runner.fake("pip")
    done = runner("Install", DLMI_BENCH_SOURCE="")
    assert done.returncode != 0
    assert "DLMI_BENCH_SOURCE: set this variable of the repository" in done.stderr
    assert runner("Install", DLMI_BENCH_SOURCE="git+https://host/x@abc").returncode == 0
    assert runner.read_arguments() == ["install", "dlmi-bench[torch] @ git+https://host/x@abc"]


@pytest.fixture
def calling(runner: Runner, gated: Path) -> Runner:
    """A calling repository with a model, its test set and their baseline."""
    shutil.copytree(gated, runner.folder, dirs_exist_ok=True)
    return runner


def test_installed_command_judges_what_it_is_given(calling: Runner) -> None:
    """A vanished model is an error in exit code, annotation, summary, JUnit and JSON, all written by the command."""
    (calling.folder / "my model.onnx").rename(calling.folder / "c.onnx")
    done = calling("Judge", FILES | {"onnx": "c.onnx"})
    assert done.returncode == 12, done.stderr
    assert "::error title=INCOMPARABLE file/my model::in the baseline only" in done.stdout
    assert "INCOMPARABLE" in calling.summary.read_text()
    temporary = calling.summary.parent
    answer = json.loads((temporary / "gate.json").read_text())
    assert (answer["schema_version"], answer["exit_code"], len(answer["decisions"])) == (1, 12, 2)
    assert ET.parse(temporary / "gate.xml").getroot().get("errors") == "2"  # noqa: S314 - written above


@pytest.mark.slow
def test_unchanged_model_passes_from_saving_to_judging(calling: Runner) -> None:
    """A baseline that the workflow saved lets the same model through, with all its files."""
    (calling.folder / "gate.toml").write_text("batches = [1]\n")
    files = FILES | {"onnx": "my model.onnx"}
    assert calling("Save the baseline", files | {"reason": "by hand"}).returncode == 0
    more = calling.inputs["arguments"] + "--settings\ngate.toml\n"
    done = calling("Judge", files | {"arguments": more})
    assert done.returncode == 0, done.stdout
    assert "by hand" in calling.summary.read_text()
