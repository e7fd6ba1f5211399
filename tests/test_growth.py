"""Large stores: compact records say what records say, each is read once, and what a page folds lies whole beside it."""

import csv
import json
import re
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.records import Cell, Figure, Mark, Note, Record, unavailable
from dlmi_bench.stats.estimates import estimate_difference
from dlmi_bench.stats.right import Right, estimate_right_difference
from dlmi_bench.store import Store
from dlmi_reports import make_document, write_report
from dlmi_reports.formats import html
from dlmi_reports.formats.folding import MAX_ROWS, Fold
from dlmi_reports.formats.longform import list_rows
from dlmi_reports.results.compact import CompactRecord, Pool, add_notes, list_cells
from dlmi_reports.results.load import load_results
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import ClaimGroup, ClaimLine, Page, Section, Table
from dlmi_reports.tables import fronts
from large_stores import fill, list_records
from report_stores import HOSTILE, fill_store, measured_records, train_record

MODELS = ("mlp-12-10", "mlp-16-12", "cnn-4")
SAID = re.compile(r"(\S+\.(?:csv|svg))[,. ]")


def make_odd_record() -> Record:
    """A training whose figures have all that a figure can have."""
    alike = ({"a": True}, {"a": 1}, {"a": 1.0}, {"a": "1"})
    figures = (
        *(Figure(name="x_s", value=1.0, kind="measured", source="c", conditions=c) for c in alike),
        Figure(name="y", value=-0.0, lo=-1e-300, hi=1e300, n=(1 << 53) - 1, kind="derived", source="c", interval="i"),
        Figure(name="y", value=2, kind="measured", source="c", samples=(1.0, 2.5), notes=("noisy: 3 x", "plain")),
        unavailable("z_s", "censored", backend="eager"),
    )
    return train_record("m", 3, 0.9, None).model_copy(update={"figures": figures, "failures": ("eager: no",)})


@pytest.mark.parametrize("record", [make_odd_record(), train_record("m", 0, 0.75, 1.5)], ids=["odd", "usual"])
def test_compact_record_says_what_its_record_says(record: Record) -> None:
    """Figures to the last bit and type, by name and conditions; details, files, provenance; rows of CSV and JSON."""
    pool = Pool()
    compact = pool.compact(record)
    assert isinstance(compact, CompactRecord)
    assert repr(compact.figures) == repr(record.figures)
    assert compact.figures == record.figures
    for name in ("cell", "failures", "artifacts", "provenance", "details", "is_timed"):
        assert getattr(compact, name) == getattr(record, name)
    for figure in record.figures:
        found = compact.figure(figure.name, **figure.conditions)
        assert repr(found) == repr(record.figure(figure.name, **figure.conditions))
    assert compact.figure("nothing") is None
    assert json.dumps([*list_rows([compact])]) == json.dumps([*list_rows([record])])
    assert [*list_cells(compact, str)] == [*list_cells(record, str)]
    with pytest.raises(KeyError, match="no artifact"):
        compact.artifact("nothing")


def test_what_an_array_cannot_hold_stays_a_record() -> None:
    """A count beyond 2**53, and cells of which there is one for each model."""
    large = Figure(name="y", value=1.0, n=1 << 53, kind="derived", source="c")
    record = train_record("m", 0, 0.9, 1.0).model_copy(update={"figures": (large,)})
    latency, _ = measured_records("m", 10, 1e-5)
    assert [Pool().compact(kept) for kept in (record, latency)] == [record, latency]


def test_records_share_what_is_equal() -> None:
    """Two seeds share names, conditions and provenance; a note on one figure of one of them stays there."""
    pool = Pool()
    first, second = (pool.compact(train_record("m", index, 0.9, 1.0)) for index in range(2))
    assert first.provenance is second.provenance
    assert first.figures[0].conditions is second.figures[0].conditions
    marked = add_notes(first, {"test_accuracy": Note(Mark.NOISY, "x")})
    assert [str(note) for note in marked.figures[0].notes] == ["noisy: x"]
    assert not any(figure.notes for figure in (*marked.figures[1:], *second.figures))


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("sizes", [(6, 6), (1, 1), (7, 4)])
def test_bits_estimate_what_tables_estimate(sizes: tuple[int, int], is_paired: bool) -> None:
    """Value, error and freedom of a difference are those of the two tables, paired by seed or not."""
    if is_paired and sizes[0] != sizes[1]:
        return
    generator = np.random.default_rng(0)
    tables = [generator.random((n, 203)) < 0.9 for n in sizes]
    own = estimate_right_difference(*map(Right, tables), is_paired=is_paired)
    wanted = estimate_difference(*(table.astype(float) for table in tables), is_paired=is_paired)
    assert own.value == wanted.value
    assert [s.what for s in own.sources] == [s.what for s in wanted.sources]
    for name in ("error", "freedom"):
        assert getattr(own, name) == pytest.approx(getattr(wanted, name), rel=1e-12)
    assert (Right(tables[0]).unpack() == tables[0]).all()
    assert (Right(tables[0]).take(1).unpack() == tables[0][:1]).all()


def test_draws_in_parts_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap that holds few values at a time draws what one draws that holds all, and goes on from there."""
    trainings = [train_record("m", index, 0.7 + index % 7 / 50, 1.0) for index in range(40)]
    found = []
    for n_held in (1 << 20, 170):
        monkeypatch.setattr(fronts, "MAX_DRAWN", n_held)
        generator = np.random.default_rng(0)
        models = [ModelResults("m", trainings[:n]) for n in (40, 33)]
        draws = [fronts.draw_accuracies(model, generator) for model in (*models, models[0])]
        found.append([*draws, np.concatenate([*fronts._draw_rows(9, generator)])])
    assert all((whole == parts).all() for whole, parts in zip(*found, strict=True))
    assert not (found[0][0] == found[0][2]).all()  # the same model again, from another state


def read_html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_rows_that_are_folded_lie_whole_in_a_file(tmp_path: Path) -> None:
    """A table of more than 500 trainings says how many are shown and which file has all: as many rows as trainings."""
    store, n_seeds = Store(tmp_path / "out"), MAX_ROWS // len(MODELS) + 10
    fill(
        store,
        list_records([train_record("a", i, 0.9, 1.0) for i in range(3)], tasks=["t"], models=MODELS, n_seeds=n_seeds),
    )
    written = write_report(store, tmp_path / "report", ["md", "html", "latex", "json"])
    assert tmp_path / "report" / "rows-t-every-seed.csv" in written
    with (tmp_path / "report" / "rows-t-every-seed.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert Counter(row[0] for row in rows) == dict.fromkeys(MODELS, n_seeds)
    said = f"500 of {n_seeds * len(MODELS)} rows are shown; rows-t-every-seed.csv has all."
    assert header[0] == "model"
    assert said in read_html(tmp_path / "report")
    assert said in (tmp_path / "report" / "details.md").read_text(encoding="utf-8").replace("\\", "")
    assert said in (tmp_path / "report" / "report.json").read_text(encoding="utf-8")


def test_a_large_page_is_folded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large a page shows fewer rows and plots; every file that it names is there, and no table is gone."""
    document = make_document(fill_store(tmp_path / "out"))
    (path,) = html.write_html(document, tmp_path / "whole")
    whole = path.read_text(encoding="utf-8")
    assert "Folded" not in whole
    monkeypatch.setattr(html, "FOLDS", ((4, 1), (2, 0)))
    for share in (0.7, 0.4):
        monkeypatch.setattr(html, "MAX_BYTES", round(share * len(whole.encode())))
        html.write_html(document, tmp_path / f"{share}")
        page = read_html(tmp_path / f"{share}")
        assert len(page.encode()) <= html.MAX_BYTES
        assert "Folded, so that this page stays small" in page
        assert page.count("<table") == whole.count("<table")
        named = {
            name for name in SAID.findall(re.sub("<svg.*?</svg>", "", page, flags=re.DOTALL)) if name != "figures.csv"
        }
        assert {Path(name).suffix for name in named} == {".csv", ".svg"}
        assert all((tmp_path / f"{share}" / name).is_file() for name in named)


def test_many_claims_are_folded_into_the_files_of_their_tables() -> None:
    """A page shows the first claims and sentences, counts the others, and its fold keeps the tables that have all."""
    lines = [ClaimLine(f"c{i}", "open", "?", f"claim {i}", [], "", "", True, False) for i in range(9)]
    table = Table("Verdicts", "c", ["id"], [[line.name] for line in lines])
    groups = [ClaimGroup("few", [], lines[:2]), ClaimGroup("many", [], lines, guarantee="At 5 %.")]
    section = Section("claims", "Claims", tables=[table], groups=groups, details=[line.sentence for line in lines])
    fold = Fold(4)
    (folded,) = fold.fold(Page("t", [], [section]), {}).sections
    assert [len(group.claims) for group in folded.groups] == [2, 4]
    said = "At 5 %. 5 more claims of this family are in rows-claims-verdicts.csv."
    assert [group.guarantee for group in folded.groups] == ["", said]
    assert folded.details[4:] == ["5 more sentences; the claims are in rows-claims-verdicts.csv."]
    assert fold.whole == {"rows-claims-verdicts.csv": table}
    assert Fold(9).fold(Page("t", [], [section]), {}).sections[0].groups == groups


def test_hostile_names_stay_records(tmp_path: Path) -> None:
    """Names that have to be cleaned are, compact or not."""
    found = load_results(fill_store(tmp_path))
    kinds = {type(record) for task in found.tasks.values() for record in task.trainings}
    assert kinds == {Record, CompactRecord}
    assert not any(
        HOSTILE[3] in model for task in found.tasks.values() for model in (m.name for m in task.models.values())
    )


def fill_large(folder: Path, n_seeds: int) -> Store:
    """So many seeds of 20 models, with six figures a training."""
    store = Store(folder)
    sources = [train_record("a", i, 0.7 + i % 7 / 500, 1.0 + i % 13 if i % 9 else None) for i in range(63)]
    sources += measured_records("a", 1000, 1e-5)
    models = [f"mlp-{n}-10" for n in range(10, 30)]
    fill(store, list_records(sources, tasks=["t"], models=models, n_seeds=n_seeds))
    return store


def load_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """Records of a store, how many were parsed to load it, and bytes that are held then."""
    counts, parse = Counter[str](), Record.model_validate_json

    def count(text: str) -> Record:
        counts["parsed"] += 1
        return parse(text)

    monkeypatch.setattr(Record, "model_validate_json", count)
    tracemalloc.start()
    results = load_results(store)
    n_held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    monkeypatch.undo()
    return len(results.records), counts["parsed"], n_held


def test_loading_grows_as_the_store_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is parsed once, whatever replaced it; twice the trainings take twice the memory, or less."""
    held = []
    for n_seeds in (30, 60):
        store = fill_large(tmp_path / f"{n_seeds}", n_seeds)
        again = Cell(kind="train", task="t", model="mlp-10-10")
        store.add_done([(train_record("a", 0, 0.9, 1.0).model_copy(update={"cell": again}), "g")])
        n_records, n_parsed, n_held = load_counted(store, monkeypatch)
        assert (n_parsed, n_parsed - n_records) == (len(store.rows()), 1)
        held.append(n_held / n_records)
    assert held[1] < 1.05 * held[0]
    assert held[1] < 4000  # its six figures alone take 8 400 bytes as objects


@pytest.mark.slow
def test_report_of_a_large_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 000 trainings with 120 000 figures: five times the figures made of a fifth, and a page below 2 MB."""
    made, make = [], CompactRecord._make
    for n_seeds in (200, 1000):
        store, counts = fill_large(tmp_path / f"{n_seeds}", n_seeds), Counter[str]()

        def count(record: CompactRecord, place: int, counts: Counter[str] = counts) -> Figure:
            counts["made"] += 1
            return make(record, place)

        monkeypatch.setattr(CompactRecord, "_make", count)
        write_report(store, tmp_path / f"report-{n_seeds}", ["html", "csv", "json"])
        made.append(counts["made"])
        assert len(read_html(tmp_path / f"report-{n_seeds}").encode()) < html.MAX_BYTES
    assert 4 < made[1] / made[0] < 5.1
    with (tmp_path / "report-1000" / "figures.csv").open(encoding="utf-8") as file:
        assert sum(1 for _ in file) > 120_000


def test_cells_of_records_are_alike() -> None:
    """A compact record's cell is the cell, with its seed."""
    cell = Cell(kind="train", task="t", model="m", seed_index=7)
    record = Record(cell=cell, figures=())
    kept = Pool().compact(record).cell
    assert (kept, kept.seed, kept.key) == (cell, cell.seed, cell.key)
