"""The installed command, end to end, in a folder of its own."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlmi_bench.cli.main import COMMANDS, app
from dlmi_bench.store import FILENAME
from report_stores import fill_store
from stand_ins import Command
from test_imports import make_file

# One runtime less to load; accuracies are ONNX Runtime's in any case.
QUICK = ("run", "--suite", "tiny.toml", "--backend", "onnxruntime")


def read_attempts(folder: Path) -> list[tuple[str, str]]:
    db = sqlite3.connect(folder / "out" / FILENAME)
    rows = db.execute("SELECT key, status FROM attempts ORDER BY id").fetchall()
    db.close()
    return rows


def read_accuracies(folder: Path) -> dict[str, list[object]]:
    """What must be equal between any two runs of the same cells: accuracies and hashes of all files."""
    db = sqlite3.connect(folder / "out" / FILENAME)
    texts = db.execute("SELECT record FROM attempts WHERE key LIKE 'train/%' AND status = 'done'").fetchall()
    db.close()
    found: dict[str, list[object]] = {}
    for (text,) in texts:
        record = json.loads(text)
        key = f"{record['cell']['model']}/{record['cell']['seed_index']}"
        accuracies = [f["value"] for f in record["figures"] if f["name"].endswith("_accuracy")]
        found[key] = [*accuracies, *(artifact["sha256"] for artifact in record["artifacts"])]
    return found


def test_help_is_quick_and_light() -> None:
    """The command line knows its options without torch, pandas, numpy or pydantic."""
    program = (
        "import sys; from dlmi_bench.cli.main import app\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'pandas', 'numpy', 'pydantic', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_list_shows_every_registry(command: Command) -> None:
    """Names and titles as text, the same as JSON."""
    text = command("list").stdout
    assert all(word in text for word in ("usps-libsvm", "mlp-64-32", "onnxruntime", "smoke"))
    assert set(command.json("list", "models")["models"]) >= {"mlp-64-32", "lecun-1989"}  # type: ignore[index]


def test_data_describes_the_set(command: Command) -> None:
    """Source, sizes, counts per class, range and hashes, as text and as JSON."""
    described = command.json("data", "usps")["tasks"]["usps"]  # type: ignore[index]
    assert described["train"]["n_per_class"][0] == 1194
    assert described["is_synthetic"] is False
    text = command("data", "usps").stdout
    assert "7291 images" in text
    assert described["sha256"]["test_images"] in text


def test_bad_data_folder_is_an_error_with_a_remedy(command: Command) -> None:
    """Standard error names the folder and the way out; the exit code is 1; nothing is printed to standard output."""
    done = command("data", "usps", "--data-dir", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nowhere" in done.stderr
    assert "remedy:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import-benchmark", "mine.json", "--out", "mine.json"), "mine.json: File exists"),
        (("import-benchmark", "mine.json", "--out", "mine.json/x"), "mine.json/x: Not a directory"),
        (("report", "--to", "mine.json", "--format", "csv"), "mine.json: File exists"),
        (("report", "--summary", "nowhere/s.md", "--format", "csv"), "nowhere/s.md: No such file or directory"),
        (("export", "--to", "mine.json", "--format", "csv"), "mine.json: File exists"),
        (("merge", "out", "--to", "mine.json"), "mine.json: File exists"),
    ],
)
def test_place_that_cannot_be_written_is_named(command: Command, arguments: tuple[str, ...], said: str) -> None:
    """The path and what is the matter with it, with a remedy; no traceback."""
    make_file(command.folder)
    fill_store(command.folder / "out").close()
    done = command(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}\n  remedy:"), done.stderr


def test_errors_do_not_steer_the_terminal(command: Command) -> None:
    """A control character in what an error quotes is shown as one that cannot be; its lines stay lines."""
    done = command("count", "\x1b[31m.onnx")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: no file \ufffd[31m.onnx"
    assert "\n  remedy:" in done.stderr


def test_full_output_is_an_error(command: Command) -> None:
    """One sentence with a remedy, and nothing more when the interpreter ends."""
    with Path("/dev/full").open("w") as full:
        call = [command.program, "list"]
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: No space left on device"
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "uspz"),
        ("data", "usps", "--source", "folder"),
        ("data", "usps", "--source", "nowhere"),
        ("run", "--suite", "smok"),
        ("run", "--model", "mlp"),
        ("run", "--seeds", "0"),
        ("run", "--data-dir", "nowhere"),
        ("run", "--weights-dir", "nowhere"),
        ("report", "--format", "pdf"),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_2(command: Command, arguments: tuple[str, ...]) -> None:
    """Whatever is misspelt, the exit code is 2 and no folder appears."""
    done = command(*arguments)
    assert done.returncode == 2, done.stderr
    assert not (command.folder / "out").exists()


def test_report_of_nothing_says_what_to_run(command: Command) -> None:
    """Without results the report names the command that makes them."""
    done = command("report")
    assert done.returncode == 1
    assert "dlmi-bench run" in done.stderr


def test_run_finishes_every_cell(finished: Command) -> None:
    """Two trainings and four measurements, each stored once."""
    assert sorted(read_attempts(finished.folder)) == sorted(
        (f"{key}", "done")
        for key in (
            "train/usps/softmax/0",
            "train/usps/softmax/1",
            "counts/usps/softmax/0",
            "memory/usps/softmax/0",
            "energy/usps/softmax/0",
            "latency/usps/softmax/0",
        )
    )


def test_second_run_keeps_everything(finished: Command) -> None:
    """The same command has nothing left to do, and takes seconds."""
    assert finished.json("run", "--suite", "tiny.toml") == {
        "schema_version": 1,
        "kept": 6,
        "done": 0,
        "failed": {},
        "lost": 0,
    }
    assert len(read_attempts(finished.folder)) == 6


def test_dry_run_tells_and_does_nothing(finished: Command) -> None:
    """What is there is kept, a third seed is to do and takes as long as the two did; no attempt is added."""
    before = read_attempts(finished.folder)
    told: dict = finished.json("run", "--dry-run", "--suite", "tiny.toml", "--seeds", "3")  # type: ignore[assignment]
    assert (told["n_kept"], told["n_to_do"], told["n_unknown"]) == (6, 1, 0)
    assert [row for row in told["cells"] if row["why"]] == [{"cell": "train/usps/softmax/2", "why": "not done yet"}]
    assert told["estimated_s"] > 0
    assert read_attempts(finished.folder) == before


def test_dry_run_without_results_makes_no_folder(command: Command) -> None:
    """Every cell is to do, in typical times: 2 + 0.5 + 4.5 + 4 + 46.5 s."""
    done = command("run", "--dry-run", "--task", "usps", "--model", "softmax", "--seeds", "1", "--out", "new")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "5 cells to do, 0 kept; time: about 58 s, rough for 5 of them"
    assert not (command.folder / "new").exists()


def test_quiet_run_shows_its_outcome_alone(finished: Command, tmp_path: Path) -> None:
    """No step on standard error, the counts on standard output."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    done = Command(tmp_path)("run", "--quiet", "--fresh", "counts", "--suite", "tiny.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 cells done, 5 kept")


def test_what_is_measured_again_trains_nothing(finished: Command, tmp_path: Path) -> None:
    """`run --fresh counts` does the counts alone: every training that was there is kept, with its figures."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    before = read_attempts(tmp_path)
    outcome = Command(tmp_path).json("run", "--fresh", "counts", "--suite", "tiny.toml")
    new = read_attempts(tmp_path)[len(before) :]
    assert {key.partition("/")[0] for key, _ in new} == {"counts"}
    n_new = len(new)
    assert outcome == {"schema_version": 1, "done": n_new, "kept": len(before) - n_new, "failed": {}, "lost": 0}


def test_outdated_training_is_not_made_again_for_its_counts(finished: Command, tmp_path: Path) -> None:
    """A longer energy window makes trainings stale: `--fresh counts` uses them and says so, a plain run trains."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    before, change = read_attempts(tmp_path), "changed: energy_window_s 0.2 -> 0.3"
    suite = (tmp_path / "tiny.toml").read_text().replace("energy_window_s = 0.2", "energy_window_s = 0.3")
    (tmp_path / "tiny.toml").write_text(suite + 'measures = ["counts"]\n')
    ran = Command(tmp_path)
    assert f"seed 1 of 2: to do, {change}" in ran("run", "--dry-run", "--suite", "tiny.toml").stdout
    done = ran("run", "--fresh", "counts", "--suite", "tiny.toml")
    assert f"seed 1 of 2: kept as it is: {change}" in done.stderr.replace("\n", "")
    assert [key for key, _ in read_attempts(tmp_path)[len(before) :]] == ["counts/usps/softmax/0"]


def test_lost_artifact_is_made_again(finished: Command, tmp_path: Path) -> None:
    """A cell whose file is gone or altered is not current: it trains again, to the same bytes."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    copy = Command(tmp_path)
    before = read_accuracies(tmp_path)
    with sqlite3.connect(tmp_path / "out" / FILENAME) as db:
        records = [json.loads(text) for (text,) in db.execute("SELECT record FROM attempts WHERE key LIKE 'train/%'")]
    db.close()
    hashes = [next(a["sha256"] for a in record["artifacts"] if a["role"] == "onnx") for record in records]
    gone, altered = (next((tmp_path / "out" / "artifacts").rglob(f"{sha256}.onnx")) for sha256 in hashes)
    gone.unlink()
    altered.write_bytes(b"x" * altered.stat().st_size)
    outcome = copy.json("run", "--suite", "tiny.toml")
    assert (outcome["done"], outcome["kept"]) == (2, 4)  # type: ignore[index]
    assert read_accuracies(tmp_path) == before


def test_failed_cell_is_kept_with_its_reason_and_tried_again(finished: Command, tmp_path: Path) -> None:
    """A counter that cannot be imported fails its cell by name, the others stay, and once mended it succeeds."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    copy = Command(tmp_path)
    with sqlite3.connect(tmp_path / "out" / FILENAME) as db:
        db.execute("DELETE FROM attempts WHERE key = 'counts/usps/softmax/0'")
    db.close()
    (tmp_path / "broken" / "fvcore").mkdir(parents=True)
    (tmp_path / "broken" / "dlmi_models").mkdir()  # what holds a package of ours comes first, and not last
    (tmp_path / "broken" / "fvcore" / "__init__.py").write_text("raise ImportError('fvcore is broken')")
    done = copy("run", "--suite", "tiny.toml", "--json", PYTHONPATH=str(tmp_path / "broken"))
    outcome = json.loads(done.stdout)
    assert (done.returncode, outcome["kept"], outcome["done"]) == (1, 5, 0)
    assert "fvcore is broken" in outcome["failed"]["counts/usps/softmax/0"]
    assert "remedy:" in done.stderr
    assert copy.json("run", "--suite", "tiny.toml") == {
        "schema_version": 1,
        "kept": 5,
        "done": 1,
        "failed": {},
        "lost": 0,
    }
    assert ("counts/usps/softmax/0", "failed") in read_attempts(tmp_path)
    assert copy("report", "--format", "md").returncode == 0
    assert "fvcore is broken" in (tmp_path / "out" / "report" / "details.md").read_text(encoding="utf-8")


def test_killed_run_goes_on_and_ends_with_the_same_figures(finished: Command, tmp_path: Path) -> None:
    """kill -9 when the second training has begun: finished cells stay, the rest is done, accuracies are equal."""
    (tmp_path / "tiny.toml").write_text((finished.folder / "tiny.toml").read_text() + 'measures = ["counts"]\n')
    copy = Command(tmp_path)
    running = subprocess.Popen([copy.program, *QUICK], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    first = running.stderr.readline()
    assert "seed 1 of 2: done" in first
    running.kill()
    running.wait()
    running.stderr.close()
    assert [key for key, _ in read_attempts(tmp_path)] == ["train/usps/softmax/0"]
    outcome = copy.json(*QUICK)
    assert outcome == {"schema_version": 1, "kept": 1, "done": 2, "failed": {}, "lost": 0}
    assert read_accuracies(tmp_path) == read_accuracies(finished.folder)


def test_interrupt_ends_cleanly(tmp_path: Path, finished: Command) -> None:
    """Ctrl-C ends with 130 and a sentence, no traceback, and keeps what was finished."""
    (tmp_path / "tiny.toml").write_text((finished.folder / "tiny.toml").read_text())
    copy = Command(tmp_path)
    # A shell's background job ignores Ctrl-C, and so would what these tests start from there.
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen([copy.program, *QUICK], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    assert running.stderr is not None
    running.stderr.readline()
    running.send_signal(signal.SIGINT)
    rest = running.communicate()[1]
    assert running.returncode == 130, rest
    assert "run the same command again to resume" in rest
    assert "Traceback" not in rest
    assert ("train/usps/softmax/0", "done") in read_attempts(tmp_path)


def start_profile(folder: Path, on_hangup: signal.Handlers) -> subprocess.Popen[str]:
    """A profile whose temporary files lie in `folder`, and which has begun to write there."""
    running = subprocess.Popen(
        [Command(folder).program, "profile", "softmax", "--backend", "onnxruntime"],
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGHUP, on_hangup),
    )
    assert running.stderr is not None
    assert "1 runtimes, about" in running.stderr.readline()
    assert "building" in running.stderr.readline()
    assert any(folder.iterdir())
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_takes_its_files_along(tmp_path: Path, number: signal.Signals) -> None:
    """The exit code names the signal, no temporary file stays, and nothing is said."""
    with start_profile(tmp_path, signal.SIG_DFL) as running:
        running.send_signal(number)
        rest = running.communicate()[1]
    assert (running.returncode, rest) == (128 + number, "")
    assert not any(tmp_path.iterdir())


def test_hangup_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """Started by nohup it goes on when the terminal closes."""
    with start_profile(tmp_path, signal.SIG_IGN) as running:
        assert running.stderr is not None
        running.send_signal(signal.SIGHUP)
        assert "exporting" in running.stderr.readline()
        running.send_signal(signal.SIGTERM)
        running.communicate()
    assert running.returncode == 128 + signal.SIGTERM


def test_no_command_shows_the_first_steps() -> None:
    """Five commands that exist, in 80 columns, and where the others are; nothing was done, so the exit code is 2."""
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    shown = [line.split()[1] for line in lines if line.startswith("  dlmi-bench ")]
    assert len(shown) == 5
    assert set(shown) <= set(COMMANDS)
    assert "dlmi-bench -h" in lines[-1]


def test_answer_is_written_where_the_locale_is_ascii(finished: Command) -> None:
    """It has dashes, which the C locale has not."""
    ascii_only = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = finished("run", "--suite", "tiny.toml", **ascii_only)
    assert done.returncode == 0, done.stderr
    assert "\N{EN DASH}" in done.stdout
