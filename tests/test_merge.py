"""Stores merged: nothing lost, nothing overwritten, conflicts by name; and shards that cover the grid once."""

from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from dlmi_bench.cli.main import app
from dlmi_bench.errors import StoreError, UsageError
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact
from dlmi_bench.store.merge import Merged, check_preferred, merge_stores
from dlmi_bench.store.shards import StandsOut, find_outstanding
from dlmi_bench.suite.plan import make_steps, select_shard
from dlmi_bench.suite.suites import SUITES
from stand_ins import Command


def make_record(folder: Path, model: str, value: float = 1.0) -> Record:
    artifact = put_artifact(folder, "onnx", f"{model} {value}".encode(), ".onnx")
    figure = Figure(name="a_s", value=value, kind="measured", source="x")
    return Record(cell=Cell(kind="train", task="t", model=model), figures=(figure,), artifacts=(artifact,))


def make_store(folder: Path, *models: str, value: float = 1.0) -> Store:
    store = Store(folder)
    store.add_done([(make_record(folder, model, value), "f") for model in models])
    return store


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Cells, failed attempts, superseded ones and their files are all there, whole."""
    first, second = make_store(tmp_path / "1", "a"), make_store(tmp_path / "2", "b", value=2.0)
    first.add_failed([("train/t/c/0", "f")], "out of memory")
    second.add_done([(make_record(second.folder, "b", 3.0), "f")])
    merged = Store(tmp_path / "all")
    assert merge_stores([first.folder, second.folder], merged).n_attempts == 4
    assert sorted(merged.rows()) == sorted(first.rows() + second.rows())
    records = {key: attempt.record for key, attempt in merged.current().items()}
    assert records["train/t/b/0"].figures[0].value == 3.0  # type: ignore[union-attr]
    assert all(merged.has_artifacts(record) for record in records.values() if record)
    kept = make_record(tmp_path / "twin", "b", 2.0).artifacts[0]
    assert artifact_path(merged.folder, kept).is_file()


def test_done_beats_failed_whatever_the_order(tmp_path: Path) -> None:
    """A cell that failed on one machine and is done on another is done."""
    good, bad = make_store(tmp_path / "1", "a"), Store(tmp_path / "2")
    bad.add_failed([("train/t/a/0", "f")], "no power")
    for index, pair in enumerate(([good.folder, bad.folder], [bad.folder, good.folder])):
        merged = Store(tmp_path / f"all{index}")
        merge_stores(pair, merged)
        assert merged.current()["train/t/a/0"].status == "done"
        assert [attempt.error for attempt in merged.failures()] == ["no power"]


def test_a_store_and_its_older_copy_are_the_store(tmp_path: Path) -> None:
    """What one store has gone on from is history; equal attempts are written once."""
    old, new = make_store(tmp_path / "1", "a"), Store(tmp_path / "2")
    new.add_rows(old.rows())
    new.add_done([(make_record(new.folder, "a", 2.0), "g")])
    put_artifact(new.folder, "onnx", b"a 1.0", ".onnx")
    for index, pair in enumerate(([old.folder, new.folder], [new.folder, old.folder], [new.folder, new.folder])):
        merged = Store(tmp_path / f"all{index}")
        assert merge_stores(pair, merged).n_attempts == 2
        assert merged.current()["train/t/a/0"].fingerprint == "g"


def test_conflicts_are_refused_by_name(tmp_path: Path) -> None:
    """The cell that two stores finished apart is named, others are not, and nothing is written."""
    first, second = make_store(tmp_path / "1", "a", "b"), make_store(tmp_path / "2", "b", "c", value=2.0)
    merged = Store(tmp_path / "all")
    with pytest.raises(StoreError, match=r"two stores: train/t/b/0 \(\S+/1, \S+/2\); nothing was written\n"):
        merge_stores([first.folder, second.folder], merged)
    assert merged.rows() == []
    with pytest.raises(UsageError, match="holds results"):
        merge_stores([first.folder], second)


def test_equal_results_are_no_conflict(tmp_path: Path) -> None:
    """What two stores were given apart, as by importing one file twice, is one result; of other code it is another."""
    first, second, third = make_store(tmp_path / "1", "a"), make_store(tmp_path / "2"), make_store(tmp_path / "3")
    (row,) = first.rows()
    put_artifact(second.folder, "onnx", b"a 1.0", ".onnx")
    second.add_rows([row._replace(finished_at="2000-01-01").sign()])
    third.add_rows([row._replace(fingerprint="g").sign()])
    for index, pair in enumerate(([first.folder, second.folder], [second.folder, first.folder])):
        merged = Store(tmp_path / f"all{index}")
        assert merge_stores(pair, merged).n_attempts == 2
        assert merged.current()[row.key].finished_at == row.finished_at
    with pytest.raises(StoreError, match="train/t/a/0"):
        merge_stores([first.folder, third.folder], Store(tmp_path / "other"))


def make_shard(folder: Path, index: int, **origin: str) -> Path:
    """A store of one training, made by one commit from one data set unless `origin` says otherwise."""
    store, said = Store(folder), {"commit": "c0ffee", "data": "aa", "machine": "m1", "model": f"m{index}"} | origin
    provenance: dict[str, JsonValue] = {
        "commit": said["commit"],
        "machine_id": said["machine"],
        "machine": {"cpu": "abacus"},
        "data": {"name": "toy", "sha256": {"test": said["data"]}},
    }
    record = make_record(folder, said["model"], float(index))
    store.add_done([(record.model_copy(update={"provenance": provenance}), "f")])
    store.close()
    return folder


def make_shards(tmp_path: Path) -> list[Path]:
    """Thirty shards: two of another commit, one of other data, one of another machine, and two with one cell."""
    odd = {4: {"commit": "bad"}, 5: {"commit": "bad"}, 9: {"data": "bb"}, 12: {"machine": "m2"}, 20: {"model": "m7"}}
    return [make_shard(tmp_path / f"shard-{i}", i, **odd.get(i, {})) for i in range(30)]


def test_shards_that_stand_out_are_named(tmp_path: Path) -> None:
    """Of thirty shards those of another commit, data and machine are told apart, and nothing else is said."""
    folders = [folder for folder in make_shards(tmp_path) if folder.name != "shard-20"]
    merged = merge_stores(folders, Store(tmp_path / "all"))
    found = {(odd.what, odd.value, odd.most): [Path(name).name for name in odd.stores] for odd in stand_out(merged)}
    assert found == {
        ("commit", "bad", "c0ffee"): ["shard-4", "shard-5"],
        ("machine", "m2 (abacus)", "m1 (abacus)"): ["shard-12"],
        ("data toy, test", "bb", "aa"): ["shard-9"],
    }
    assert (merged.n_attempts, merged.conflicts) == (29, ())
    alike = merge_stores(folders[:3], Store(tmp_path / "alike"))
    assert stand_out(alike) == []


def stand_out(merged: Merged) -> list[StandsOut]:
    return find_outstanding(merged.shards)


def test_conflict_of_shards_names_both_and_what_holds(tmp_path: Path) -> None:
    """Refused with the cell and both shards; with a preferred one its result holds, and the other stays readable."""
    folders = make_shards(tmp_path)
    refused = Store(tmp_path / "refused")
    with pytest.raises(StoreError, match=r"train/t/m7/0 \(\S+/shard-7, \S+/shard-20\); nothing was written"):
        merge_stores(folders, refused)
    assert refused.rows() == []
    for number in (7, 20):
        target = Store(tmp_path / f"kept-{number}")
        merged = merge_stores(folders, target, prefer=[tmp_path / f"shard-{number}"])
        (conflict,) = merged.conflicts
        assert [conflict.cell, Path(conflict.kept).name] == ["train/t/m7/0", f"shard-{number}"]
        assert [Path(name).name for name in conflict.others] == [f"shard-{27 - number}"]
        record = target.current()["train/t/m7/0"].record
        assert record is not None
        assert record.figures[0].value == number
        assert len(target.rows()) == 30
    with pytest.raises(StoreError, match="m7"):
        merge_stores(folders, refused, prefer=[folders[0]])
    with pytest.raises(UsageError, match="none of the stores"):
        check_preferred([tmp_path / "elsewhere"], folders)


def test_one_shard_is_open_at_a_time(tmp_path: Path) -> None:
    """However many there are: the system limits open files. Progress names each twice, as it is read and copied."""
    folders, said, n_open = make_shards(tmp_path)[:20], list[str](), list[int]()

    def tell(line: str) -> None:
        said.append(line)
        links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        paths = [str(path.readlink()) for path in links if path.is_symlink()]
        n_open.append(sum("/shard-" in path for path in paths))

    merge_stores(folders, Store(tmp_path / "all"), tell=tell)
    assert max(n_open) <= 1
    assert [line.split()[0] for line in said] == ["reading"] * 20 + ["copying"] * 20
    assert said[0] == f"reading store 1 of 20: {folders[0]}"


def test_order_of_attempts_is_that_of_their_times(tmp_path: Path) -> None:
    """Whatever the order of the stores, what was finished first comes first."""
    folders = [make_shard(tmp_path / f"shard-{i}", i) for i in range(4)]
    for folder, hour in zip(folders, (3, 1, 4, 2), strict=True):
        store = Store(folder)
        (row,) = store.rows()
        store._db.execute("DELETE FROM attempts")
        store.add_rows([row._replace(finished_at=f"2026-01-01T0{hour}:00:00").sign()])
        store.close()
    for index, order in enumerate((folders, folders[::-1])):
        target = Store(tmp_path / f"all-{index}")
        merge_stores(order, target)
        assert [row.key.split("/")[2] for row in target.rows()] == ["m1", "m3", "m0", "m2"]


def test_damaged_file_is_named(tmp_path: Path) -> None:
    """A store with a broken file is refused with the cell that it belongs to; nothing of the others is written."""
    whole, store = make_store(tmp_path / "0", "b"), make_store(tmp_path / "1", "a")
    artifact_path(store.folder, make_record(tmp_path / "twin", "a").artifacts[0]).write_bytes(b"x")
    target = Store(tmp_path / "all")
    with pytest.raises(StoreError, match="train/t/a/0"):
        merge_stores([whole.folder, store.folder], target)
    assert target.rows() == []
    merge_stores([whole.folder], target)


def test_shards_cover_the_grid_once() -> None:
    """Three shares hold every training and reference exactly once, evenly, and nothing that is measured."""
    steps = make_steps(SUITES["default"])
    shares = [select_shard(steps, index, 3) for index in (1, 2, 3)]
    wanted = [step for step in steps if step.kind in ("train", "references")]
    assert sorted(map(len, shares)) == sorted(len(wanted) // 3 + (i < len(wanted) % 3) for i in range(3))
    assert {step.title + step.task for share in shares for step in share} == {s.title + s.task for s in wanted}


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_share_that_is_none_is_usage(text: str, tmp_path: Path) -> None:
    """Refused before anything is written."""
    done = CliRunner().invoke(app, ["run", "--shard", text, "--out", str(tmp_path / "out")])
    assert "not a share" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_command_merges_and_refuses(tmp_path: Path, command: Command) -> None:
    """Counts as JSON; a conflict, a folder without results and an existing target each with a remedy."""
    make_store(tmp_path / "1", "a").close()
    make_store(tmp_path / "2", "b").close()
    make_store(tmp_path / "3", "b", value=2.0).close()
    answer = command.json("merge", "1", "2", "--to", "all")
    counts = {"cells": 2, "attempts": 2, "out": "all", "stores": 2}
    assert answer == {"schema_version": 1, **counts, "conflicts": [], "stands_out": []}
    refused = command("merge", "1", "2", "3", "--to", "other")
    assert (refused.returncode, "train/t/b/0" in refused.stderr) == (1, True)
    assert "--shard" in refused.stderr
    assert command("merge", "1", "2", "--to", "other").returncode == 0
    assert command("merge", "1", "--to", "all").returncode == 2
    preferred = command.json("merge", "1", "2", "3", "--to", "third", "--prefer", "3")
    assert preferred["conflicts"] == [{"cell": "train/t/b/0", "kept": "3", "others": ["2"]}]
    said = command("merge", "1", "2", "3", "--to", "fourth", "--prefer", "2").stdout
    assert "train/t/b/0: that of 2 holds, not that of 3" in said
    assert command("merge", "1", "2", "--to", "new", "--prefer", "3").returncode == 2
    assert command("merge", "nowhere", "--to", "new").returncode == 1
    assert not (tmp_path / "new").exists()
