"""Files side by side: the table from records whose figures are known, and the command on real files."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.comparing.comparison import Comparison
from dlmi_bench.comparing.files import choose_names
from dlmi_bench.comparing.settings import START_S, CompareSettings
from dlmi_bench.comparing.table import is_invalid, list_rows
from dlmi_bench.comparing.text import format_comparison
from dlmi_bench.instruments.latency import BLOCK_S
from dlmi_bench.native.writing.project import SLOW
from dlmi_bench.records import Benchmark, Cell, Figure, Mark, Note, Record, unavailable
from foreign_files import make_layers, make_text_model, save
from stand_ins import Command

SETTINGS = CompareSettings()
SESSION = "one"


def make_records(name: str, call_s: float, *, mark: Mark | None = None, backend: str = "onnxruntime") -> list[Record]:
    """Records of one file, 10 us at least, of two processes of three rounds, the second 10 % slower."""
    rounds = [[factor * call_s] * 3 for factor in (1.0, 1.1)]
    notes = (Note(mark, "by hand"),) if mark else ()
    common = {"backend": backend, "precision": "float32"}
    benchmark = {**common, "batch": 1, "threads": 1}
    figures: dict[str, list[Figure]] = {
        "train": [
            Figure(
                name="test_accuracy", value=0.9, lo=0.8, hi=0.95, n=50, kind="measured", source="s", conditions=common
            ),
            Figure(name="max_score_error", value=1e-6, kind="measured", source="s", conditions=common),
            unavailable("decision_disagreement", "by hand", backend=backend),
        ],
        "counts": [
            Figure(name="macs", value=1000, kind="counted", source="s"),
            Figure(name="n_parameters", value=500, kind="counted", source="s"),
            Figure(name="size_bytes", value=2048, kind="counted", source="s", conditions={"artifact": "onnx"}),
            Figure(name="peak_activation_bytes", value=64, kind="counted", source="s"),
        ],
        "memory": [Figure(name="peak_added_bytes", value=4096, kind="measured", source="s", conditions=common)],
        "energy": [
            Figure(
                name="inference_energy_j",
                value=2.0,
                kind="modelled",
                source="load",
                conditions={**common, "component": "cpu", "idle_subtracted": False, "n_inferences": 1000},
            )
        ],
        "latency": [
            Figure(
                name="latency_s",
                value=call_s,
                lo=call_s,
                hi=1.1 * call_s,
                n=2,
                kind="measured",
                source="s",
                notes=notes,
                conditions=benchmark,
            )
        ],
    }
    key = Benchmark(name, backend, 1).key
    details = {"latency": {"session": SESSION, "rounds_s": {key: rounds}}}
    return [
        Record(cell=Cell(kind=kind, task="t", model=name), figures=tuple(made), details=details.get(kind, {}))  # type: ignore[arg-type]
        for kind, made in figures.items()
    ]


def compare(*files: list[Record], reference: str = "a", failures: dict[str, str] | None = None) -> Comparison:
    records = [record for file in files for record in file]
    return Comparison("t", reference, list_rows(records, SETTINGS, reference), failures or {}, Path("out"))


def test_ratio_is_that_of_paired_rounds() -> None:
    """Twice as long in every round of both processes: exactly 2, however much slower the second process was."""
    first, second = compare(make_records("a", 1e-3), make_records("b", 2e-3)).rows
    assert (first["latency_ratio"], first["latency_ratio_lo"]) == (1.0, None)
    assert [second[f"latency_ratio{end}"] for end in ("", "_lo", "_hi")] == pytest.approx([2.0, 2.0, 2.0])


def test_figures_of_a_row_are_those_of_its_records() -> None:
    """Energy is that of one example, the file's own size and arena; what is not available is None, with its reason."""
    (row,) = compare(make_records("a", 1e-3)).rows
    wanted = {"energy_j": 2e-3, "size_bytes": 2048, "peak_activation_bytes": 64, "peak_added_bytes": 4096, "macs": 1000}
    assert {name: row[name] for name in wanted} == wanted
    assert (row["decision_disagreement"], row["n_test"], row["energy_source"]) == (None, 50, "modelled, load")


@pytest.mark.parametrize("at", [0, 1])
def test_invalid_latency_has_no_ratio(at: int) -> None:
    """Whichever of the two it is; and the comparison is none that a script may rely on."""
    marks = [Mark.INVALID if i == at else None for i in range(2)]
    found = compare(make_records("a", 1e-3, mark=marks[0]), make_records("b", 2e-3, mark=marks[1]))
    assert found.rows[1]["latency_ratio"] is None
    assert [is_invalid(row) for row in found.rows] == [i == at for i in range(2)]
    assert not found.is_valid


def test_latency_of_another_benchmark_is_never_shown() -> None:
    """A device is timed with one thread only: the row of two has no latency, and no ratio."""
    settings = CompareSettings(threads=(1, 2))
    one, two = list_rows(make_records("a", 1e-3), settings, "a")
    assert (one["latency_s"], two["latency_s"], two["latency_ratio"]) == (1e-3, None, None)


def test_failed_file_makes_it_no_valid_one() -> None:
    assert compare(make_records("a", 1e-3)).is_valid
    assert not compare(make_records("a", 1e-3), failures={"b": "broken"}).is_valid


def test_8_bit_file_has_no_arena_of_its_own() -> None:
    """The arena is that of the file that was given; the one that was made of it holds smaller numbers."""
    settings = CompareSettings(backends=("onnxruntime-int8",))
    (row,) = list_rows(make_records("a", 1e-3, backend="onnxruntime-int8"), settings, "a")
    assert (row["peak_activation_bytes"], row["size_bytes"]) == (None, None)


def test_text_fits_80_columns() -> None:
    """Eight files with long names, which keep both of their ends."""
    names = [f"resnet-for-brains-of-many-people-{i}-quantised-with-care" for i in range(8)]
    found = compare(*(make_records(name, 1.2345e-3, mark=Mark.NOISY) for name in names), reference=names[0])
    text = format_comparison(found)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("resne..h-care") + text.count("..") >= 8


def test_csv_holds_plain_numbers() -> None:
    """One line for each row, seconds and bytes, which any reader parses."""
    text = format_comparison(compare(make_records("a", 1e-3), make_records('b,"', 2e-3)), "csv")
    first, second = csv.DictReader(io.StringIO(text))
    assert (float(first["latency_s"]), float(second["latency_ratio"])) == (1e-3, pytest.approx(2.0))
    assert second["model"] == 'b,"'


@pytest.mark.parametrize(("format_", "sign"), [("md", "| a | 1"), ("latex", r"\begin{longtable}")])
def test_tables_of_documents(format_: str, sign: str) -> None:
    assert sign in format_comparison(compare(make_records("a", 1e-3)), format_)


def test_names_tell_files_apart() -> None:
    """By their own, and by their folder where that is the same."""
    paths = [Path("x/net.onnx"), Path("y/net.onnx"), Path("x/other.onnx")]
    assert choose_names(paths) == ["x/net", "y/net", "other"]


def test_estimate_grows_with_what_is_asked_for() -> None:
    """Twice the threads are twice the processes; a small net's rounds last a block each."""
    one, two = (CompareSettings(threads=threads).estimate_s([0.0]) for threads in ((1,), (1, 2)))
    assert two - one == pytest.approx(5 * (START_S + 100 * BLOCK_S + 0.2))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["m.onnx", "--threads", "1", "2"], "repeat the option: --threads 1 --threads 2"),
        (["m.onnx", "--backend", "eager"], "it loads no ONNX files"),
        (["m.onnx", "--plot", "p.svg"], "name it: --test FILE.npz"),
        (["m.onnx", "m.onnx"], "two files are called"),
        (["m.onnx", "--reference", "other"], "--reference other: no such file"),
        (["m.onnx", "--test", "none.npz"], "none.npz"),
        (["mlp-64-32"], "name files that end in .onnx"),
    ],
)
def test_what_cannot_be_compared_is_said_before_it_begins(tmp_path: Path, words: list[str], said: str) -> None:
    save(make_layers(), tmp_path / "m.onnx")
    done = Command(tmp_path)("compare", *words)
    assert (done.returncode in (1, 2), said in done.stderr) == (True, True), done.stderr
    assert "compare: " not in done.stderr.replace("error: compare: ", "")


@pytest.mark.slow
def test_files_of_one_test_set(tmp_path: Path) -> None:
    """The file that made the labels is always right, the other one as often as by hand."""
    random = np.random.default_rng(0)
    images = random.standard_normal((300, 16)).astype(np.float32)
    for name, scale in (("right", 1.0), ("wrong", -1.0)):
        save(make_layers(scale=scale), tmp_path / f"{name}.onnx")
    scores = {name: _run(tmp_path / f"{name}.onnx", images) for name in ("right", "wrong")}
    np.savez(tmp_path / "test.npz", x=images, y=scores["right"].argmax(1))
    words = ("right.onnx", "wrong.onnx", "--test", "test.npz", "--processes", "2", "--json", "--plot", "front.svg")
    done = Command(tmp_path)("compare", *words)
    found = json.loads(done.stdout)
    share = (scores["wrong"].argmax(1) == scores["right"].argmax(1)).mean()
    assert [row["test_accuracy"] for row in found["rows"]] == [1.0, pytest.approx(share)]
    assert all(row["max_score_error"] < 1e-5 for row in found["rows"])
    assert (tmp_path / "front.svg").read_text().startswith("<?xml")
    assert "about" in done.stderr
    report = Command(tmp_path)("report", "--out", "out/compare", "--format", "md")
    assert report.returncode == 0, report.stderr
    assert "trained elsewhere" in (tmp_path / "out" / "compare" / "report" / "details.md").read_text()


def _run(path: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    scores: np.ndarray = onnxruntime.InferenceSession(str(path)).run(None, {"x": images})[0]
    return scores


@pytest.mark.slow
def test_files_of_several_inputs(tmp_path: Path) -> None:
    """Words and a mask come from the test set by name, for accuracy, agreement, latency and energy."""
    random = np.random.default_rng(0)
    ids, mask = random.integers(0, 5, (40, 8)), np.ones((40, 8), np.int64)
    for name in ("a", "b"):
        save(make_text_model(), tmp_path / f"{name}.onnx")
    np.savez(tmp_path / "test.npz", ids=ids, mask=mask, y=random.integers(0, 3, 40))
    done = Command(tmp_path)("compare", "a.onnx", "b.onnx", "--test", "test.npz", "--processes", "2", "--json", "-q")
    first, second = json.loads(done.stdout)["rows"]
    assert first["test_accuracy"] == second["test_accuracy"]
    assert None not in (second["latency_s"], second["energy_j"] or 0.0, second["max_score_error"])
    assert done.stderr == ""


def test_what_is_slow_in_c_is_a_remark(tmp_path: Path) -> None:
    """Beside the table, in words; other notes are counted only."""
    rows = list_rows(make_records("a", 1e-4, backend="c"), SETTINGS.model_copy(update={"backends": ("c",)}), "a")
    for notes, said in ([SLOW, "another"], "1 more note"), ([], ""):
        rows[0]["notes"] = notes
        text = " ".join(format_comparison(Comparison("t", "a", rows, {}, tmp_path)).split())
        assert (f"a: {SLOW}" in text) == bool(notes)
        assert said in text
