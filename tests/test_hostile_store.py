"""Stores from outside: no string in one leads anywhere, and no file or row is believed that was altered."""

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.errors import DataError, StoreError
from dlmi_bench.files import atomic_file, parsing, read_bytes, resolve_inside
from dlmi_bench.gating.sides.baseline import MANIFEST, load_baseline
from dlmi_bench.records import Artifact, Cell, Figure, Record
from dlmi_bench.store import FILENAME, STORE_VERSION, WITHOUT_DIGEST, Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact, read_artifact
from dlmi_bench.store.merge import merge_stores
from dlmi_bench.store.rows import StoredRow
from dlmi_reports.claims.verdicts import ClaimVerdict, judge_store
from dlmi_reports.page import make_page
from dlmi_reports.results.arrays import _load
from dlmi_reports.results.load import load_results
from report_stores import fill_store, keep_answers, train_record
from stand_ins import Command

CLAIM = """
[[claim]]
id = "a"
kind = "above"
value = 0.8
task = "toy"
model = "a"
sentence = "It is."
source = "a test"
data = "any"
"""
BASELINE = '{"schema_version": 1, "reason": "r", "created": "c", "environment": {}, "entries": [%s]}'
ENTRY = (
    '{"task": "%s", "model": "m", "input_shape": [1], "data_sha256": {}, "artifacts": [], "trainings": [], '
    '"costs": {}, "operators": {}}'
)
PATHS = (
    "../x",
    "/etc/passwd",
    "a/../../x",
    "..",
    "",
    "x" * 64,
    "A" * 64,
    "0" * 63,
    "0" * 64 + "\n",
    "0" * 64 + "/../x",
)


def make_record(folder: Path, model: str = "m", seed_index: int = 0, value: float = 0.971) -> Record:
    artifact = put_artifact(folder, "onnx", f"{model} {seed_index} {value}".encode(), ".onnx")
    figure = Figure(name="test_accuracy", value=value, kind="measured", source="x")
    cell = Cell(kind="train", task="t", model=model, seed_index=seed_index)
    return Record(cell=cell, figures=(figure,), artifacts=(artifact,))


def make_store(folder: Path, n_seeds: int = 3) -> Path:
    store = Store(folder)
    store.add_done([(make_record(folder, seed_index=i), "f" * 64) for i in range(n_seeds)])
    store.close()
    return folder


def edit(folder: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(folder / FILENAME)
    with db:
        db.execute(statement, values)
    db.close()


@pytest.mark.parametrize("text", PATHS)
@pytest.mark.parametrize("field", ["sha256", "suffix", "role"])
def test_strings_of_artifacts_lead_nowhere(field: str, text: str) -> None:
    """Whatever could be a path is refused by the type, in any field that becomes part of one."""
    whole = {"role": "onnx", "sha256": "0" * 64, "size_bytes": 1, "suffix": ".onnx"}
    assert Artifact.model_validate(whole)
    if (field, text) == ("role", "x" * 64) or (field, text) in [("role", "A" * 64), ("role", "0" * 63)]:
        return
    with pytest.raises(ValueError, match=field):
        Artifact.model_validate(whole | {field: text})


@pytest.mark.parametrize("field", ["sha256", "suffix"])
def test_merge_writes_nothing_outside(tmp_path: Path, field: str) -> None:
    """A crafted store neither writes into folders of the user's nor copies their files; its row is a failed attempt."""
    folder = make_store(tmp_path / "crafted", 1)
    (tmp_path / "secret").write_bytes(b"mine")
    artifact = make_record(folder).artifacts[0]
    (row,) = Store(folder, must_exist=True).rows()
    crafted = {"sha256": "../" * 9 + str(tmp_path / "secret")[1:], "suffix": "/../../../../escaped"}[field]
    assert row.record
    record = row.record.replace(getattr(artifact, field), crafted)
    signed = row._replace(record=record).sign()
    edit(folder, "UPDATE attempts SET record = ?, digest = ?", signed.record, signed.digest)
    before = sorted(tmp_path.rglob("*"))
    merged = Store(tmp_path / "all")
    with pytest.raises(StoreError, match="damaged"):
        merge_stores([folder], merged)
    assert not merged.rows()
    new = set(tmp_path.rglob("*")) - set(before)
    assert all(path.is_relative_to(merged.folder) for path in new)
    assert not any(path.is_file() and path.read_bytes() == b"mine" for path in new)
    assert [a.status for a in Store(folder, must_exist=True).current().values()] == ["failed"]


def test_links_out_of_a_store_are_not_followed(tmp_path: Path) -> None:
    """An artifact whose folder is a link elsewhere is refused, although its content would fit."""
    record = make_record(tmp_path / "own")
    path = artifact_path(tmp_path / "own", record.artifacts[0])
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leads out of this folder"):
        read_artifact(tmp_path / "own", record.artifacts[0])


def test_resolving_stays_inside(tmp_path: Path) -> None:
    """Names within the folder resolve; the folder itself, its parents, absolute paths and links out do not."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    assert resolve_inside(tmp_path / "in", "a/../b") == (tmp_path / "in" / "b").resolve()
    for name in ("..", ".", "", "a/..", "../in2", "/etc/passwd", "link/x"):
        with pytest.raises(DataError, match="leads out"):
            resolve_inside(tmp_path / "in", name)


def test_pipe_in_place_of_a_file_stops_nobody(tmp_path: Path) -> None:
    """A pipe, which would be waited for, is refused; so is a file that is larger than what it should be."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_bytes(tmp_path / "large", 10)
    assert read_bytes(tmp_path / "large", 11) == b"x" * 11


def test_altered_scores_change_no_verdict(tmp_path: Path) -> None:
    """A supported claim, four of whose files were altered or became pipes, is not measured; the page names them."""
    store = Store(tmp_path / "out")
    trained = [train_record("a", index, test=0.97, time_s=1.0) for index in range(4)]
    records = [keep_answers(tmp_path / "out", record, wrong=[index]) for index, record in enumerate(trained)]
    store.add_done([(record, "f") for record in records])
    claims = tmp_path / "claims.toml"
    claims.write_text(CLAIM)
    assert [j.verdict for j in judge_store(store, claims).judgements] == [ClaimVerdict.supported]
    paths = [artifact_path(tmp_path / "out", record.artifact("test_scores")) for record in records]
    for index, path in enumerate(paths):
        content = np.load(path)
        path.unlink()
        if index % 2:
            os.mkfifo(path)
        else:
            np.save(path, content[:, ::-1])  # whole, and every answer is the other one
    _load.cache_clear()  # as in another process
    (judged,) = judge_store(store, claims).judgements
    assert judged.verdict is ClaimVerdict.not_measured
    assert str(paths[0]) in judged.evidence[0]
    said = " ".join(make_page(load_results(store)).lead)
    assert all(f"DAMAGED, so that what rests on it is not available: {path}" in said for path in paths)


def test_altered_rows_are_failed_attempts(tmp_path: Path) -> None:
    """A digit, key, status, fingerprint or time that was changed in the database: its cell is not done, others are."""
    changes = (
        "UPDATE attempts SET record = replace(record, '0.971', '0.991') WHERE id = 2",
        "UPDATE attempts SET key = 'train/t/m/7' WHERE id = 2",
        "UPDATE attempts SET fingerprint = 'g' WHERE id = 2",
        "UPDATE attempts SET status = 'failed' WHERE id = 2",
        "UPDATE attempts SET finished_at = '2000' WHERE id = 2",
        "UPDATE attempts SET key = CAST(x'ff' AS TEXT) WHERE id = 2",
        "UPDATE attempts SET record = x'00' WHERE id = 2",
    )
    for index, change in enumerate(changes):
        folder = make_store(tmp_path / str(index))
        edit(folder, change)
        store = Store(folder, must_exist=True)
        done = [a.record for a in store.current().values() if a.status == "done" and a.record]
        assert [r.cell.seed_index for r in done] == [0, 2], change
        assert len(store.failures()) == 1
        assert "digest does not fit" in (store.failures()[0].error or "")


def test_flipped_bits_change_no_figure(tmp_path: Path) -> None:
    """300 single bits, flipped anywhere in the database: what is read is what was written, or it is missed."""
    folder = make_store(tmp_path / "s")
    path, order = folder / FILENAME, random.Random(0)
    original = path.read_bytes()
    truth = {key: a.record for key, a in Store(folder, must_exist=True).current().items()}
    n_seen = 0
    for _ in range(300):
        content = bytearray(original)
        content[order.randrange(len(content))] ^= 1 << order.randrange(8)
        path.write_bytes(content)
        try:
            store = Store(folder, must_exist=True)
            found = {key: a.record for key, a in store.current().items() if a.status == "done"}
            store.close()
        except StoreError:
            n_seen += 1
            continue
        assert all(truth.get(key) == record for key, record in found.items())
        n_seen += found != truth
    assert n_seen > 30


def test_record_of_another_cell_is_refused(tmp_path: Path) -> None:
    """Also where no digest could tell: two seeds do not become three by a changed key."""
    folder = make_store(tmp_path, 2)
    edit(folder, "UPDATE attempts SET digest = NULL, key = 'train/t/m/2' WHERE id = 2")
    attempts = Store(folder, must_exist=True).current()
    assert [(a.status, a.has_digest) for a in attempts.values()] == [("done", True), ("failed", False)]
    assert "it is that of train/t/m/1" in (attempts["train/t/m/2"].error or "")


def test_record_of_another_schema_is_refused(tmp_path: Path) -> None:
    """A record says which schema it has, and only this program's own is read."""
    folder = make_store(tmp_path, 1)
    edit(
        folder,
        "UPDATE attempts SET digest = NULL, record = replace(record, '\"schema_version\":1', '\"schema_version\":2')",
    )
    (attempt,) = Store(folder, must_exist=True).current().values()
    assert attempt.status == "failed"
    assert "schema_version" in (attempt.error or "")


def test_older_store_is_read_and_marked(tmp_path: Path) -> None:
    """Rows from before digests count, the report says that they have none, and new rows beside them have one."""
    folder = make_store(tmp_path, 2)
    edit(folder, "ALTER TABLE attempts DROP COLUMN digest")
    edit(folder, f"PRAGMA user_version = {WITHOUT_DIGEST}")
    store = Store(folder, must_exist=True)
    assert [a.has_digest for a in store.current().values()] == [False, False]
    assert "Attempts without digest, by an older version: 2." in " ".join(make_page(load_results(store)).lead)
    store.close()
    newer = Store(folder)
    newer.add_done([(make_record(folder, seed_index=2), "f")])
    assert [a.has_digest for a in newer.current().values()] == [False, False, True]
    assert newer._db.execute("PRAGMA user_version").fetchone() == (STORE_VERSION,)
    merged = Store(tmp_path / "all")
    merge_stores([newer.folder], merged)
    assert [a.has_digest for a in merged.current().values()] == [False, False, True]


def test_views_and_triggers_are_of_another_program(tmp_path: Path) -> None:
    """A database that computes its rows is no store."""
    folder = make_store(tmp_path, 1)
    edit(folder, "CREATE TRIGGER t AFTER INSERT ON attempts BEGIN DELETE FROM attempts; END")
    with pytest.raises(StoreError, match="another program"):
        Store(folder)


def test_digest_covers_every_field() -> None:
    """Any other value of any field has another digest."""
    row = StoredRow("k", "f", "done", "{}", None, "now").sign()
    changed = {field: row._replace(**{field: "x"}).sign().digest for field in row._fields[:-1]}
    assert len({row.digest, *changed.values()}) == 1 + len(changed)


def test_crafted_baseline_stays_in_its_folder(tmp_path: Path) -> None:
    """A task that is a path, and files whose names are, are no baseline."""
    (tmp_path / MANIFEST).write_text(BASELINE % (ENTRY % "usps"))
    assert load_baseline(tmp_path).entries[0].task == "usps"
    for task in ("../../escaped", "/etc/x", "a\\u0000b", "a\\nb"):
        (tmp_path / MANIFEST).write_text(BASELINE % (ENTRY % task))
        with pytest.raises(DataError, match="task"):
            load_baseline(tmp_path)
    for text in ("[" * 100_000, "9" * 5000, "\xff", "", "null", '{"schema_version": 1}', BASELINE % '{"task": 9}'):
        (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
        with pytest.raises(DataError, match=MANIFEST):
            load_baseline(tmp_path)


def test_one_writer(tmp_path: Path) -> None:
    """A second writer leaves with the first one's process, host and start; readers read; a dead writer bars nobody."""
    code = "import sys; from pathlib import Path; from dlmi_bench.store import Store\n"
    code += "s = Store(Path(sys.argv[1])); print('ready', flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout
    assert other.stdout.readline() == b"ready\n"
    with pytest.raises(StoreError, match=rf"process {other.pid} on .+ \(since 2\d\d\d-.+\) is writing to it"):
        Store(tmp_path)
    with pytest.raises(StoreError, match=rf"process {other.pid} on"):  # who was refused has left its name alone
        Store(tmp_path)
    assert Store(tmp_path, must_exist=True).rows() == []
    other.kill()
    other.communicate()
    Store(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir() if path.read_bytes() and path.name.endswith(".lock")] == []


def test_second_run_leaves_at_once(command: Command) -> None:
    """The command ends with the first one's name and does nothing; a report beside the writer is made."""
    store = fill_store(command.folder / "out")
    store.close()
    writer = Store(command.folder / "out")
    done = command("run", "--suite", "smoke")
    assert (done.returncode, f"process {os.getpid()} on" in done.stderr) == (1, True), done.stderr
    assert command("report", "--format", "csv").returncode == 0
    writer.close()


def test_artifacts_are_as_readable_as_the_store(tmp_path: Path) -> None:
    """Files have the permissions of the user's umask, as the database beside them has."""
    record = make_record(tmp_path)
    Store(tmp_path).close()
    modes = {
        path.stat().st_mode & 0o777 for path in (artifact_path(tmp_path, record.artifacts[0]), tmp_path / FILENAME)
    }
    assert len(modes) == 1


def write_and_fail(path: Path) -> None:
    with atomic_file(path) as file:
        file.write(b"new")
        raise OSError(28, "No space left on device")


def test_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """An error while writing leaves the older content and no part; the system's error names the file."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space") as found:
        write_and_fail(path)
    assert found.value.filename == str(path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("error", [RecursionError("deep"), KeyError("x"), ValueError("5000 digits"), OSError(5, "I/O")])
def test_parsers_raise_errors_of_this_program(error: Exception) -> None:
    """Whatever a parser raises names the file; errors of this program pass as they are."""
    with pytest.raises(DataError, match=r"^file\.x: .+\n  remedy: do this"), parsing("file.x", "do this"):
        raise error
    with pytest.raises(StoreError), parsing("file.x", "do this"):
        raise StoreError("own", "words")
