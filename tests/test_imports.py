"""Files of pytest-benchmark: into the store, into a section of their own, and refused where they are damaged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.store import Store
from dlmi_bench.store.pytest_benchmark import import_benchmarks
from dlmi_reports.page import make_page
from dlmi_reports.results.load import load_results
from report_stores import fill_store
from stand_ins import Command

N_ROUNDS = 100  # of a timed row of test_microbench.py
STATS = {
    "min": 1e-5, "max": 9e-5, "mean": 2.1e-5, "stddev": 1e-6, "median": 2e-5, "q1": 1.9e-5, "q3": 2.2e-5,
    "rounds": 100, "iterations": 50, "iqr": 3e-6, "outliers": "1;2",
}  # fmt: skip
EXTRA = {
    "model": "small",
    "backend": "onnxruntime",
    "batch": 1,
    "threads": 1,
    "macs": 18752,
    "versions": {"numpy": "2"},
}


def make_file(folder: Path, name: str = "mine.json", machine: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A file of one benchmark with `changes` to its stats, taken on `machine`."""
    benchmark = {"fullname": "test_x.py::test_row[<b>]", "extra_info": EXTRA, "stats": STATS | changes}
    content = {"benchmarks": [benchmark], "datetime": "2026-11-23T00:00:00", "version": "5.3.1"}
    path = folder / name
    path.write_text(json.dumps(content | {"machine_info": machine or {}}))
    return path


def test_report_of_imports_alone_opens_with_them(tmp_path: Path) -> None:
    """Nothing else was measured, so that what was imported comes first."""
    import_benchmarks(make_file(tmp_path), tmp_path / "out")
    page = make_page(load_results(Store(tmp_path / "out", must_exist=True)))
    assert page.sections[0].name == "imported"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_file_of_another_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    """A byte order mark or UTF-16, as a shell of Windows redirects it, changes no figure."""
    path = make_file(tmp_path)
    plain = import_benchmarks(path, tmp_path / "a")
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert import_benchmarks(path, tmp_path / "b").figures == plain.figures


def test_imported_figures_stand_apart(command: Command) -> None:
    """Through the command line: a figure of a name of its own, a section that says so, and no other table changed."""
    fill_store(command.folder / "out").close()
    command("report", "--to", "before", "--format", "csv", "--format", "json")
    make_file(command.folder)
    answer: Any = command.json("import-benchmark", "mine.json")
    (figure,) = answer["figures"]
    assert (figure["name"], figure["value"], figure["lo"], figure["hi"]) == ("imported_latency_s", 2e-5, 1.9e-5, 2.2e-5)
    assert figure["conditions"]["benchmark"] == "test_x.py::test_row[<b>]"
    assert figure["conditions"]["model"] == "small"
    assert command("report", "--to", "after").returncode == 0
    before, after = (
        json.loads((command.folder / name / "report.json").read_text(encoding="utf-8")) for name in ("before", "after")
    )
    sections = {section["name"]: section for section in after["page"]["sections"]}
    imported = sections.pop("imported")
    assert imported["tables"][0]["rows"] == [
        ["test_x.py::test_row[<b>]", "small", "onnxruntime", "1", "1", "20.0 [19.0, 22.0] us", "100"]
    ]
    assert "not comparable" in imported["lead"][0]
    unchanged = {section["name"]: section for section in before["page"]["sections"]}
    assert sections.pop("origin")["tables"][0] == unchanged.pop("origin")["tables"][0]
    assert sections == unchanged
    assert "test_row[&lt;b&gt;]" in (command.folder / "after" / "report.html").read_text(encoding="utf-8")


def test_importing_twice_changes_nothing(command: Command) -> None:
    """The same file is the same cell; another one is another, whatever it is called."""
    make_file(command.folder)
    first: Any = command.json("import-benchmark", "mine.json")
    assert command.json("import-benchmark", "mine.json") == first
    make_file(command.folder, max=1.0)
    command.json("import-benchmark", "mine.json")
    assert len(Store(command.folder / "out").current()) == 2


def test_file_of_another_project(command: Command) -> None:
    """Whatever pytest-benchmark writes is read: its own plug-in, a test that knows nothing of this project."""
    (command.folder / "test_other.py").write_text("def test_sum(benchmark):\n    benchmark(sum, range(100))\n")
    settings = ("-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null", "--benchmark-max-time", "0.05")
    call = [sys.executable, "-m", "pytest", *settings, "--benchmark-json", "other.json", "test_other.py"]
    # Told by its environment that it is one of several workers, it would measure nothing.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(call, cwd=command.folder, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    answer: Any = command.json("import-benchmark", "other.json")
    assert answer["figures"][0]["conditions"] == {"benchmark": "test_other.py::test_sum"}
    assert command("report").returncode == 0


def test_micro_benchmark_is_read(command: Command) -> None:
    """A timed row of our own says what it is, in rounds of many calls; the store keeps what identifies it."""
    file = Path(__file__).with_name("test_microbench.py")
    settings = (
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-m",
        "benchmark",
        "-k",
        "softmax-eager-b1",
        "--benchmark-enable",
    )
    to = command.folder / "micro.json"
    call = [sys.executable, "-m", "pytest", *settings, f"--benchmark-json={to}", str(file)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(call, cwd=file.parent.parent, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    (row,) = json.loads(to.read_text(encoding="utf-8"))["benchmarks"]
    assert row["stats"]["rounds"] == N_ROUNDS
    assert row["stats"]["iterations"] > 1
    assert (row["extra_info"]["macs"], len(row["extra_info"]["fingerprint"])) == (256 * 10, 64)
    answer: Any = command.json("import-benchmark", "micro.json")
    found = answer["figures"][0]["conditions"]
    assert found.items() >= {"model": "softmax", "backend": "eager", "batch": 1, "threads": 1}.items()
    assert {"version", "precision", "is_pinned"} <= found.keys()


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [('{"results": []}', 1, "field benchmarks: Field required"), (None, 2, "No such file")],
)
def test_command_refuses_bad_files(command: Command, text: str | None, code: int, said: str) -> None:
    """No file is a usage error, another schema an error of the data; both have a remedy, and nothing is stored."""
    if text is not None:
        (command.folder / "mine.json").write_text(text)
    done = command("import-benchmark", "mine.json")
    assert done.returncode == code
    assert "mine.json" in done.stderr
    assert said in done.stderr
    assert "remedy" in done.stderr
    assert not (command.folder / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "Invalid JSON"),
        ("[1, 2]", "object"),
        ('{"benchmarks": [], "datetime": "", "version": "5"}', "field benchmarks"),
        ("[" * 100_000, "Invalid JSON"),
        ("\udcff", "can't decode byte 0xff"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    """What is no file of pytest-benchmark is refused with the file and the field."""
    path = tmp_path / "mine.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"mine\.json") as found:
        import_benchmarks(path, tmp_path / "out")
    assert said in found.value.cause
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"median": float("nan")}, "benchmarks.0.stats.median"),
        ({"q1": -1.0}, "benchmarks.0.stats.q1"),
        ({"max": float("inf")}, "benchmarks.0.stats.max"),
        ({"rounds": 0}, "benchmarks.0.stats.rounds"),
        ({"mean": "fast"}, "benchmarks.0.stats.mean"),
        ({"median": 5e-5}, "are not in this order"),
    ],
)
def test_bad_times_are_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """NaN, negative and infinite times, no rounds, words, and a median outside of its quartiles are refused."""
    path = make_file(tmp_path, **changes)
    with pytest.raises(DataError) as found:
        import_benchmarks(path, tmp_path / "out")
    assert said in found.value.cause
    assert not (tmp_path / "out").exists()


def test_origin_is_words(command: Command) -> None:
    """What says where it was taken is text or not known: a NaN of the file would make the answer no JSON."""
    machine = {"cpu": {"brand_raw": float("nan")}, "python_version": float("inf")}
    make_file(command.folder, machine=machine)
    done = command("import-benchmark", "mine.json", "--json")
    answer = json.loads(done.stdout, parse_constant=pytest.fail)
    assert (answer["provenance"]["cpu"], answer["provenance"]["python"]) == (None, None)
    make_file(command.folder, machine={"cpu": {"brand_raw": "x86"}, "python_version": "3.13"})
    answer = command.json("import-benchmark", "mine.json")
    assert (answer["provenance"]["cpu"], answer["provenance"]["python"]) == ("x86", "3.13")


def test_name_that_is_no_text_is_refused_first(tmp_path: Path) -> None:
    """A record could not hold it; nothing is stored."""
    path = make_file(tmp_path, name=os.fsdecode(b"\xff.json"))
    with pytest.raises(UsageError, match="not printable"):
        import_benchmarks(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_name_given_twice_is_refused(tmp_path: Path) -> None:
    """Two benchmarks of one name could not be told apart."""
    path = make_file(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"benchmarks": 2 * content["benchmarks"]}))
    with pytest.raises(DataError, match="second time"):
        import_benchmarks(path, tmp_path / "out")
