"""Tables of other people's answers: what is read from them, and what is refused, with the cell and a remedy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlmi_bench.errors import BenchError, DataError, UsageError
from dlmi_reports.answers import table as tables
from dlmi_reports.answers.columns import Algorithm, Reading
from dlmi_reports.answers.predictions import Predictions, read_predictions
from dlmi_reports.answers.table import load_table, take_frame

PLAIN = "case_id,ground_truth,net\nc1,ill,ill\nc2,well,ill\nc3,well,well\n"


def write(folder: Path, text: str, name: str = "answers.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def read(folder: Path, text: str, encoding: str = "utf-8", **how: object) -> Predictions:
    return read_predictions([load_table(write(folder, text, encoding=encoding))], Reading(**how))  # type: ignore[arg-type]


def decide(found: Predictions, name: str = "net", seed: str = "") -> list[str]:
    """The class that an algorithm gives each case; a sign where it gives none."""
    scores = found.scores[Algorithm(name, seed)]
    return [found.class_names[row.argmax()] if np.isfinite(row).all() else "-" for row in scores]


def test_classes_are_read_as_they_stand(tmp_path: Path) -> None:
    found = read(tmp_path, PLAIN)
    assert (found.class_names, found.labels.tolist()) == (("ill", "well"), [0, 1, 1])
    assert decide(found) == ["ill", "ill", "well"]
    assert found.case_ids == ("c1", "c2", "c3")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_what_spreadsheets_save_reads_alike(tmp_path: Path, encoding: str, delimiter: str) -> None:
    """Byte order marks, semicolons, decimal commas, Windows' line ends, quotes and empty lines at the end."""
    text = 'case_id;ground_truth;net:"ill";net:well\r\nc1;ill;0,75;0,25\r\n"c2";well;,2;8e-1\r\n;;;\r\n\r\n'
    found = read(tmp_path, text.replace('"ill"', "ill").replace(";", delimiter), encoding)
    assert np.exp(found.scores[Algorithm("net")]) == pytest.approx(np.array([[0.75, 0.25], [0.2, 0.8]]))


def test_numeric_classes_are_one_however_they_are_written(tmp_path: Path) -> None:
    """1 and 1.0, as pandas writes a column with a gap; ordered by number, not by letter."""
    rows = "".join(f"c{i},{i},{i}.0\n" for i in (10, 9, 2))
    assert read(tmp_path, f"case_id,ground_truth,net\n{rows}").class_names == ("2", "9", "10")
    assert decide(read(tmp_path, f"case_id,ground_truth,net\n{rows}")) == ["10", "9", "2"]


def test_one_column_of_probabilities_is_of_the_class_that_it_names(tmp_path: Path) -> None:
    rows = ("c1,{},0.9", "c2,{},0.4", "c3,{},0.5")
    body = "\n".join(row.format(label) for row, label in zip(rows, ("1", "0", "1"), strict=True))
    assert decide(read(tmp_path, f"case_id,ground_truth,net\n{body}")) == ["1", "0", "0"]
    named = body.replace(",1,", ",ill,").replace(",0,", ",well,")
    assert decide(read(tmp_path, f"case_id,ground_truth,net:well\n{named}")) == ["well", "ill", "ill"]
    assert decide(read(tmp_path, f"case_id,ground_truth,net\n{named}", positive="well")) == ["well", "ill", "ill"]
    with pytest.raises(DataError, match="holds probabilities, of 'ill' or 'well'"):
        read(tmp_path, f"case_id,ground_truth,net\n{named}")


def test_seeds_groups_and_traits_have_columns(tmp_path: Path) -> None:
    text = (
        "case_id,patient,ground_truth,net@1,net@2,site,device\n"
        "c1,p1,a,a,b,x,7\nc2,p1,b,b,b,y,7\nc3,,a,b,a,x,8\nc4,p2,b,b,b,x,8\n"
    )
    found = read(tmp_path, text, traits=("device",))
    assert list(found.scores) == [Algorithm("net", "1"), Algorithm("net", "2")]
    assert found.groups is not None
    assert found.groups.tolist() == [0, 0, 1, 2]
    assert found.traits == {"site": ["x", "y", "x", "x"], "device": ["7", "7", "8", "8"]}
    assert any("1 cases without a patient" in note for note in found.notes)
    assert read(tmp_path, text, group="site", ignore=("device",)).groups.tolist() == [0, 1, 0, 0]  # type: ignore[union-attr]


def test_files_are_joined_by_case(tmp_path: Path) -> None:
    """Rows in any order; a file of one algorithm names it."""
    write(tmp_path, PLAIN)
    write(tmp_path, "case_id,prediction\nc3,ill\nc1,ill\nc2,well\n", "other.csv")
    found = read_predictions([load_table(tmp_path / name) for name in ("answers.csv", "other.csv")])
    assert decide(found, "other") == ["ill", "well", "ill"]


def test_arrays_and_frames_read_like_text(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 1])
    shares = np.full((4, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 2]]
    arrays = {"case_id": np.arange(4), "ground_truth": labels, "net": shares, "plain": np.array([0, 1, 1, 1])}
    np.savez(tmp_path / "a.npz", class_names=np.array(["x", "y", "z"]), **arrays)
    found = read_predictions([load_table(tmp_path / "a.npz")])
    assert decide(found) == ["x", "y", "z", "z"]
    flat = {"case_id": range(4), "ground_truth": labels, "plain": [0, 1, 1, 1]}
    frame = pd.DataFrame(flat | {f"net:{i}": shares[:, i] for i in range(3)})
    same = read_predictions([take_frame(frame)])
    assert same.scores[Algorithm("net")] == pytest.approx(found.scores[Algorithm("net")])
    assert decide(same, "plain") == ["0", "1", "1", "1"]
    pytest.importorskip("pyarrow")
    frame.set_index("case_id").to_parquet(tmp_path / "a.parquet")
    assert decide(read_predictions([load_table(tmp_path / "a.parquet")])) == decide(same)


@pytest.mark.parametrize(
    ("names", "said"), [(["x", "x", "y"], "a name twice"), (["x", "y"], "class_names lacks '0'"), (["x"] * 9, "twice")]
)
def test_names_of_classes_fit_the_truth(tmp_path: Path, names: list[str], said: str) -> None:
    labels = np.array([0, 1, 2])
    np.savez(tmp_path / "a.npz", case_id=labels, ground_truth=labels, net=labels, class_names=np.array(names))
    with pytest.raises(DataError, match=said):
        read_predictions([load_table(tmp_path / "a.npz")])


def test_frames_of_any_dtype_read_like_text() -> None:
    """Nullable numbers, categories, truth values, and dates, which are no classes."""
    truth = pd.Series([1, 0, 1], dtype="Int64")
    frame = pd.DataFrame({"case_id": ["x", "y", "z"], "ground_truth": truth, "a": truth.where([True, False, True])})
    found = read_predictions(
        [take_frame(frame.assign(b=frame["ground_truth"].astype("category")))], Reading(missing="wrong")
    )
    assert (decide(found, "a"), decide(found, "b")) == (["1", "-", "1"], ["1", "0", "1"])
    flags = pd.DataFrame({"ground_truth": [True, False], "a": [True, True]}, index=pd.Index([4, 5], name="case_id"))
    assert decide(read_predictions([take_frame(flags)]), "a") == ["True", "True"]
    dated = flags.assign(a=pd.to_datetime(["2026-02-01", "2026-02-02"]))
    with pytest.raises(DataError, match=r"data frame, row 1, column 'a': '2026-02-01 00:00:00' is a date"):
        read_predictions([take_frame(dated)])


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", case_id=np.zeros(100_000))
    monkeypatch.setattr(tables, "MAX_UNPACKED", 100_000)
    with pytest.raises(DataError, match=r"a.npz: 800128 bytes when unpacked"):
        load_table(tmp_path / "a.npz")


def test_only_test_cases_are_judged_where_a_column_says_which(tmp_path: Path) -> None:
    text = "case_id,ground_truth,net,split\nc1,a,a,train\nc2,b,a,test\nc3,a,a,test\n"
    found = read(tmp_path, text)
    assert found.case_ids == ("c2", "c3")
    assert found.notes[-1] == "1 cases of other splits are left out."


MISSING = "case_id,ground_truth,net,other\nc1,a,a,\nc2,b,NA,b\nc3,a,b,a\n"


def test_missing_answers_are_refused_left_out_or_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3, column 'net': net has no answer to case 'c2'.*net 1, other 1"):
        read(tmp_path, MISSING)
    complete = read(tmp_path, MISSING, missing="complete")
    assert (complete.case_ids, complete.notes[-1][:30]) == (("c3",), "2 of 3 cases are left out: not")
    wrong = read(tmp_path, MISSING, missing="wrong")
    assert (decide(wrong), decide(wrong, "other")) == (["a", "-", "b"], ["-", "b", "a"])
    assert "count as wrong: net 1, other 1" in wrong.notes[-1]


def test_a_class_that_no_case_has_is_a_wrong_answer(tmp_path: Path) -> None:
    found = read(tmp_path, PLAIN.replace("c2,well,ill", "c2,well,unsure"))
    assert decide(found) == ["ill", "unsure", "well"]
    assert found.notes[0] == "No case is of the class 'unsure'; who answers it is wrong."


def test_ties_and_folds_are_told(tmp_path: Path) -> None:
    rows = "c1,a,.5,.5,1\nc2,b,.5,.5,1\nc3,b,0,1,2\n"
    found = read(tmp_path, f"case_id,ground_truth,net:a,net:b,fold\n{rows}")
    assert decide(found) == ["a", "a", "b"]
    assert found.notes[0] == "Cases with several most probable classes, of which the first counts: net 2."
    assert found.notes[-1].startswith("The training sets of the folds overlap")


def test_one_class_and_one_case_are_read_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, "case_id,ground_truth,net\nc1,ill,ill\n")
    assert (len(found.labels), found.class_names) == (1, ("ill",))
    assert "All cases are of one class, 'ill'" in found.notes[0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("net\nc1,a,a\nc2,b,b\nc1,a,a\n", "line 4, column 'case_id': case 'c1' again, as in .*line 2"),
        ("net\nc1,a,a\n,b,b\n", "line 3, column 'case_id': empty"),
        ("net\nc1,a,a\nc2,,b\n", "line 3, column 'ground_truth': empty"),
        ("net\nc1,ill,ill\nc2,well,Well\n", "line 3, column 'net': 'Well' is not a class, 'well' is"),
        ("net\nc1,ill,0\nc2,well,1\n", "line 2, column 'net': '0' is none of the classes"),
        ("net:a,net:b\nc1,a,2.1,-3\nc2,b,0,1\n", "line 2, column 'net:a': 2.1 .* perhaps a logit"),
        ("net:a,net:b\nc1,a,70,30\nc2,b,20,80\n", "70 is not a probability, perhaps a percentage"),
        ("net:a,net:b\nc1,a,1,0\nc2,b,.5,.9\n", "line 3, .* sum to 1.4, not 1"),
        ("net:a,net:b\nc1,a,1,0\nc2,b,.5,half\n", "line 3, column 'net:b': 'half' is not a number"),
        ("net:a,net:b\nc1,a,1,0\nc2,c,1,0\n", "net has no column for the class 'c'"),
        ("net:A,net:b\nc1,a,1,0\nc2,b,1,0\n", "column 'net:A': 'A' is not a class, 'a' is"),
        ("net\nc1,a,=B2\nc2,b,b\n", "line 2, column 'net': '=B2' is a formula"),
        ("net\n=A1,a,a\nc2,b,b\n", "line 2, column 'case_id': '=A1' is a formula"),
        ("net:a\nc1,a,+SUM(A1)\nc2,b,0\n", r"'\+SUM\(A1\)' is a formula"),
        ("net\nc1,a,#REF!\nc2,b,b\n", "'#REF!' is an error of a spreadsheet"),
        ("net\nc1,02-Jan,02-Jan\nc2,3,3\n", "line 2, column 'ground_truth': '02-Jan' is a date"),
        ("net\nc1,1-2,2026-02-01\nc2,3,3\n", "line 2, column 'net': '2026-02-01' is a date"),
        ("net:a,net:b\nc1,a,0,75,0,25\n", "line 2: 6 cells, more than the 4 columns"),
        ("net\nc1,a\n", "line 2: 2 cells, fewer than the 3"),
        ("case_id,ground_truth,net,net\nc1,a,a,a\n", "column 'net' is there twice"),
        ("case_id,ground_truth,,net\nc1,a,a,a\n", "column 3 has no name"),
        ("net\n", "no rows"),
        ("", "no rows"),
        ("case,ground_truth,net\nc1,a,a\n", "no column 'case_id'"),
        ("case_id,truth,net\nc1,a,a\n", "no column 'ground_truth'"),
        ("case_id,ground_truth\nc1,a\n", "no column of an algorithm"),
        ("case_id,ground_truth,net,net:a\nc1,a,a,1\n", "a column of classes, 'net', and columns of probabilities"),
        ("case_id,ground_truth,net,split\nc1,a,a,train\n", "no case is in 'test'"),
        ("net\nc1,a,0.3\nc2,b,0.2\nc3,c,0.1\n", "'net' holds numbers, and there are 3 classes"),
    ],)  # fmt: skip
def test_what_cannot_be_judged_is_named_with_its_cell(tmp_path: Path, rows: str, said: str) -> None:
    """Tables begin with the two columns that all have, where they say nothing else."""
    text = f"case_id,ground_truth,{rows}" if rows.startswith("net") else rows
    with pytest.raises(BenchError, match=said) as caught:
        read(tmp_path, text)
    assert caught.value.remedy
    assert "answers.csv" in caught.value.cause


def test_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    for name, text, said in (
        ("more.csv", "case_id,prediction\nc1,ill\nc9,ill\n", r"more.csv, line 3.*no truth of case 'c9'"),
        ("truth.csv", "case_id,ground_truth,b\nc2,ill,ill\n", r"truth.csv, line 2.*'ill' for case 'c2', 'well' in"),
        ("same.csv", "case_id,net\nc1,ill\nc2,ill\nc3,ill\n", r"same.csv: net is there twice"),
        ("few.csv", "case_id,few\nc1,ill\nc2,ill\n", r"few.csv: few has no answer to case 'c3'"),
    ):
        write(tmp_path, text, name)
        with pytest.raises(BenchError, match=said):
            read_predictions([load_table(tmp_path / "answers.csv"), load_table(tmp_path / name)])


def test_an_option_names_a_column_that_is_there(tmp_path: Path) -> None:
    for how in ({"group": "pat"}, {"traits": ("pat",)}, {"ignore": ("pat",)}):
        with pytest.raises(UsageError, match="no column 'pat'"):
            read(tmp_path, PLAIN, **how)


def test_a_table_beyond_memory_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_CELLS", 8)
    monkeypatch.setattr(tables.csv, "reader", None)
    with pytest.raises(DataError, match="4 rows of 3 columns are more than 8 cells"):
        load_table(write(tmp_path, PLAIN))
    monkeypatch.setattr(tables, "MAX_BYTES", 8)
    with pytest.raises(UsageError, match="larger than 8 bytes") as caught:
        load_table(write(tmp_path, PLAIN))
    assert "drawn at random" in caught.value.remedy
