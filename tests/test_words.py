"""Words of the command line: version, help with examples, completion, and what was perhaps meant."""

import json
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from dlmi_bench.cli.main import app
from dlmi_bench.cli.schemas import ANSWERS, make_schema
from dlmi_bench.errors import StoreError, UsageError, choose_remedy, list_choices, suggest
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact, read_artifact
from dlmi_bench.suite.study_file import load_study
from dlmi_reports.results.load import load_results
from stand_ins import Command


def list_commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The program, and every command below it, with the words that lead to it."""
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from list_commands(child, *words, name)


COMMANDS = dict(list_commands(get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_ends_with_an_example(words: tuple[str, ...], option: str) -> None:
    """Both spellings print the same help, whose last line can be copied."""
    done = CliRunner().invoke(app, [*words, option])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith(f"  Example: dlmi-bench {' '.join(words)}")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_example_is_understood(words: tuple[str, ...]) -> None:
    """Each example names a command, options and choices that exist."""
    example = COMMANDS[words].epilog.removeprefix("Example: dlmi-bench ")
    command, rest = get_command(app), shlex.split(example)
    while children := getattr(command, "commands", {}):
        command = children[rest.pop(0)]
    assert command.make_context("example", rest).params


def test_version_is_that_of_the_package() -> None:
    """`--version` needs no command and prints one line."""
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"dlmi-bench {version('dlmi-bench')}\n")


@pytest.mark.parametrize(
    ("typed", "offered"), [("dlmi-bench imp", "import-benchmark"), ("dlmi-bench run --see", "--seeds")]
)
def test_shell_completes_commands_and_options(command: Command, typed: str, offered: str) -> None:
    """What bash asks the program for while a word is typed."""
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    assert command(_DLMI_BENCH_COMPLETE="complete_bash", **asked).stdout.split() == [offered]


@pytest.mark.parametrize(
    ("name", "meant"), [("mlp-64", "did you mean mlp-64-32?"), ("MLP-64-32", "did you mean mlp-64-32?"), ("x", "")]
)
def test_close_name_is_suggested(name: str, meant: str) -> None:
    """The closest names, in whatever case; none where nothing resembles."""
    assert suggest(name, ["mlp-64-32", "resnet-c"]) == meant


def test_choices_follow_what_was_perhaps_meant() -> None:
    """A remedy holds both, and stays one sentence where nothing resembles the name."""
    assert list_choices("uspz", ["usps", "spect"]) == "did you mean usps? Otherwise use one of usps, spect"
    assert list_choices("x", ["usps"], ", or a file") == "use one of usps, or a file"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["reprot"], "'report'"),
        (["run", "--sede", "3"], "--seeds"),
        (["run", "--suite", "smok"], "did you mean smoke?"),
        (["run", "--task", "uspz"], "did you mean usps"),
        (["run", "--fresh", "latencies"], "did you mean latency"),
        (["data", "uspz"], "did you mean usps"),
        (["profile", "softmx"], "did you mean softmax?"),
        (["profile", "softmax", "--backend", "onnxruntim"], "did you mean onnxruntime"),
        (["report", "--format", "htm"], "did you mean html?"),
    ],
)
def test_misspelt_word_is_answered_by_the_right_one(
    words: list[str], meant: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands, options, suites, tasks, kinds of cell, models, backends and formats."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words)
    assert done.exit_code != 0
    assert meant in done.output + str(done.exception)


def test_published_schemas_are_current() -> None:
    """docs/schemas/ holds what the program says of its answers; `nox -s schema` renews it."""
    folder = Path(__file__).parent.parent / "docs" / "schemas"
    if not folder.is_dir():
        pytest.skip("away from the checkout")
    published = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    assert published == {command: make_schema(command) for command in ANSWERS}


@pytest.mark.parametrize("command", ANSWERS)
def test_answer_states_its_version(command: str) -> None:
    """Every schema requires the field by which readers notice a change."""
    schema = make_schema(command)
    assert "schema_version" in schema["required"]
    assert schema["properties"]["schema_version"]["const"] == 1


def test_every_command_with_json_has_a_schema() -> None:
    """No command takes --json that nothing describes; `baseline show` prints JSON without being asked."""
    takes = {"-".join(words) for words, command in COMMANDS.items() if "as_json" in {p.name for p in command.params}}
    assert takes | {"baseline-show", "claims-lock", "run-dry-run"} == ANSWERS.keys()


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("latency", "say dlmi-bench run --fresh latency"),
        ("smoke", "say dlmi-bench run --suite smoke"),
        ("smok", "for a suite, --suite: did you mean smoke? Otherwise"),
    ],
)
def test_word_without_its_option_is_told_which(word: str, remedy: str) -> None:
    """What stands alone after `run` is a study; a kind of cell and a suite have options."""
    error = CliRunner().invoke(app, ["run", word]).exception
    assert isinstance(error, UsageError)
    assert error.remedy.startswith(remedy)


def test_missing_module_of_a_study_is_to_be_installed(tmp_path: Path) -> None:
    """The file may be right: what it imports is not here."""
    path = tmp_path / "study.py"
    path.write_text("import no_such_module_of_anybody\n")
    with pytest.raises(UsageError, match=r"remedy: install no_such_module_of_anybody in the environment"):
        load_study(path)


def test_missing_package_is_not_mended_by_another_run() -> None:
    """An import fails again until something is installed."""
    assert "install" in choose_remedy(ImportError("x"))
    assert "run the same command again" in choose_remedy(ValueError("x"))


def test_remedy_of_a_failure_is_the_remedy_of_an_empty_store(tmp_path: Path) -> None:
    """It does not stand inside the cause, and comes from the failure that has one."""
    store = Store(tmp_path)
    store.add_failed([("train/t/m/0", "")], str(UsageError("the net is broken", "mend the net")))
    store.add_failed([("counts/t/m/0", "")], "m has no trained artifact: its training failed")
    with pytest.raises(StoreError) as caught:
        load_results(store)
    assert caught.value.cause.endswith("2 attempts failed, with: the net is broken")
    assert caught.value.remedy == "mend the net"


def test_cause_holds_no_remedy_of_another_error(tmp_path: Path) -> None:
    """A file that leads out of its store: one sentence about it, then one remedy."""
    artifact = put_artifact(tmp_path, "onnx", b"x", ".onnx")
    path = artifact_path(tmp_path, artifact)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(StoreError) as caught:
        read_artifact(tmp_path, artifact)
    assert "leads out of this folder" in caught.value.cause
    assert "remedy:" not in caught.value.cause
