"""Stores merged: nothing lost, nothing overwritten, conflicts by name; and shards that cover the grid once."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlmi_bench.cli.main import app
from dlmi_bench.errors import StoreError, UsageError
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact
from dlmi_bench.store.merge import merge_stores
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
    assert merge_stores([first, second], merged) == 4
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
    for index, pair in enumerate(([good, bad], [bad, good])):
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
    for index, pair in enumerate(([old, new], [new, old], [new, new])):
        merged = Store(tmp_path / f"all{index}")
        assert merge_stores(pair, merged) == 2
        assert merged.current()["train/t/a/0"].fingerprint == "g"


def test_conflicts_are_refused_by_name(tmp_path: Path) -> None:
    """The cell that two stores finished apart is named, others are not, and nothing is written."""
    first, second = make_store(tmp_path / "1", "a", "b"), make_store(tmp_path / "2", "b", "c", value=2.0)
    merged = Store(tmp_path / "all")
    with pytest.raises(StoreError, match=r"two stores: train/t/b/0\n"):
        merge_stores([first, second], merged)
    assert merged.rows() == []
    with pytest.raises(UsageError, match="holds results"):
        merge_stores([first], second)


def test_equal_results_are_no_conflict(tmp_path: Path) -> None:
    """What two stores were given apart, as by importing one file twice, is one result; of other code it is another."""
    first, second, third = make_store(tmp_path / "1", "a"), make_store(tmp_path / "2"), make_store(tmp_path / "3")
    (row,) = first.rows()
    put_artifact(second.folder, "onnx", b"a 1.0", ".onnx")
    second.add_rows([row._replace(finished_at="2000-01-01").sign()])
    third.add_rows([row._replace(fingerprint="g").sign()])
    for index, pair in enumerate(([first, second], [second, first])):
        merged = Store(tmp_path / f"all{index}")
        assert merge_stores(pair, merged) == 2
        assert merged.current()[row.key].finished_at == row.finished_at
    with pytest.raises(StoreError, match="train/t/a/0"):
        merge_stores([first, third], Store(tmp_path / "other"))


def test_damaged_file_is_named(tmp_path: Path) -> None:
    """A store with a broken file is refused with the cell that it belongs to."""
    store = make_store(tmp_path / "1", "a")
    artifact_path(store.folder, make_record(tmp_path / "twin", "a").artifacts[0]).write_bytes(b"x")
    with pytest.raises(StoreError, match="train/t/a/0"):
        merge_stores([store], Store(tmp_path / "all"))


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
    assert answer == {"schema_version": 1, "cells": 2, "attempts": 2, "out": "all"}
    refused = command("merge", "1", "2", "3", "--to", "other")
    assert (refused.returncode, "train/t/b/0" in refused.stderr) == (1, True)
    assert "--shard" in refused.stderr
    assert command("merge", "1", "2", "--to", "other").returncode == 0
    assert command("merge", "1", "--to", "all").returncode == 2
    assert command("merge", "nowhere", "--to", "new").returncode == 1
    assert not (tmp_path / "new").exists()
