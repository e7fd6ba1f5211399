"""The command `init`: a study that runs as it is."""

from pathlib import Path

import pytest

from dlmi_bench.cli.init import FILES, write_template
from dlmi_bench.closure import find_file
from dlmi_bench.store import Store
from dlmi_reports.claims.file import load_claims
from stand_ins import Command, plant

EXIT_USAGE = 2


def test_init_writes_files_that_load(command: Command, tmp_path: Path) -> None:
    """The files are those of the template, the claims are claims, and the study is known to the command line."""
    done = command("init", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert all((tmp_path / "mine" / name).is_file() for name in FILES)
    assert done.stdout.splitlines()[:4] == [f"wrote {Path('mine', name)}" for name in FILES]
    assert {claim.model for claim in load_claims(tmp_path / "mine" / "claims.toml").claim} == {"own-net"}
    # Loads study.py with its models and tasks, and ends at a name that is none of them.
    wrong = command("run", "mine/study.py", "--model", "nobody")
    assert wrong.returncode == EXIT_USAGE
    assert "own-net" in wrong.stderr
    assert "nobody" in wrong.stderr


@pytest.mark.parametrize("name", FILES)
def test_init_leaves_what_is_there(command: Command, tmp_path: Path, name: str) -> None:
    """A file of one of the names stops it before anything is written, with the name and a remedy."""
    plant(tmp_path / "mine", {name: "precious"})
    done = command("init", "mine")
    assert done.returncode == EXIT_USAGE
    assert f"{Path('mine', name)} is there already" in done.stderr
    assert "remedy: name another folder" in done.stderr
    assert [path for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [tmp_path / "mine" / name]
    assert (tmp_path / "mine" / name).read_text() == "precious"


def test_init_joins_a_folder_with_other_files(tmp_path: Path) -> None:
    """Files of other names stay."""
    plant(tmp_path, {"data.csv": "1", ".github/workflows/ci.yml": "2"})
    write_template(tmp_path)
    assert (tmp_path / "data.csv").read_text() == "1"
    assert (tmp_path / "study.py").is_file()


def test_init_writes_all_or_nothing(tmp_path: Path) -> None:
    """Where the last file cannot be written the others are gone again."""
    plant(tmp_path, {".github": "a file where a folder should be"})
    with pytest.raises(OSError):
        write_template(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".github"]


def test_workflow_runs_the_commands_of_the_readme(tmp_path: Path) -> None:
    """What CI runs is what the README says."""
    write_template(tmp_path)
    texts = [(tmp_path / name).read_text() for name in ("README.md", ".github/workflows/dlmi-bench.yml")]
    for line in ("dlmi-bench run study.py --report", "dlmi-bench claims"):
        assert all(line in text for text in texts)


@pytest.mark.slow
def test_template_runs_to_a_report(tmp_path: Path) -> None:
    """The study that init writes ends in a report, and its claims are supported."""
    assert Command(tmp_path)("init", ".").returncode == 0
    command = Command(tmp_path)
    done = command("run", "study.py", "--report")
    assert done.returncode == 0, done.stderr
    assert "synthetic" in (tmp_path / "out" / "report" / "report.html").read_text(encoding="utf-8").lower()
    judged = command("claims")
    assert judged.returncode == 0, judged.stdout
    assert Store(tmp_path / "out", must_exist=True).current()


@pytest.mark.parametrize("name", ["sys", "os", "time", "json"])
def test_modules_of_python_are_no_files_of_the_folder(name: str) -> None:
    """A script that imports them and is run from its own folder has them not among its files."""
    path = find_file(name)
    assert path is None or path.is_absolute()
