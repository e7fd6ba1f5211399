"""Files, scripts and packages of the user's: what is loaded, when, and what becomes of the broken ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlmi_bench.backends import BACKENDS
from dlmi_bench.closure import hash_code, hash_objects, list_closure
from dlmi_bench.errors import UsageError
from dlmi_bench.jobs import plugins
from dlmi_bench.jobs.plugins import Place, adopt_model, adopt_task, describe_plugins, find_model
from dlmi_bench.jobs.protocol import CountsRequest
from dlmi_bench.jobs.source_files import PREFIX, adopt_file
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.suite.study_file import StudyFile, load_study
from dlmi_bench.suite.suites import Suite
from dlmi_models import MODELS
from dlmi_tasks import TASKS, get_task
from stand_ins import plant

STUDY = """
import sys
from pathlib import Path
Path(__file__).with_name("imported").write_text("yes")
from helper import make_net
MODELS = {"mine": make_net, "cnn": "cnn-4"}
"""
HELPER = "from torch import nn\ndef make_net():\n    return nn.Linear(2, 2)\n"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave registries, environment and search path as they were."""
    tables = (MODELS, TASKS, BACKENDS, plugins.KNOWN.files, plugins.KNOWN.models, plugins.KNOWN.tasks, plugins.FAULTS)
    before, path = [dict(table) for table in tables], [*sys.path]
    monkeypatch.setenv(plugins.ENVIRONMENT, "")
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)  # type: ignore[arg-type]
    sys.path[:] = path
    for name in [*sys.modules]:
        if name.startswith((PREFIX, "helper", "good", "bad")):
            del sys.modules[name]
    plugins._ADOPTED.clear()
    clear_caches()


def count(name: str, shape: tuple[int, ...]) -> CountsRequest:
    return CountsRequest(subject=Subject(kind="model", name=name, input_shape=shape))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return plant(tmp_path, {"study.py": STUDY, "helper.py": HELPER}) / "study.py"


def test_study_joins_the_registries(study: Path) -> None:
    """Its own models by its module, names of ours as another name for the same; the suite is all of it."""
    loaded = load_study(study)
    assert loaded.suite.models == loaded.own == ("mine", "cnn")
    assert MODELS["cnn"] == MODELS["cnn-4"]
    assert (MODELS["mine"].is_own, MODELS["mine"].factory) == (True, "mine")
    assert type(MODELS["mine"].own.build("mine", (2,), None)).__name__ == "Linear"


def test_worker_imports_the_file_when_something_in_it_is_needed(study: Path) -> None:
    """A worker knows the names at once; the file itself it runs for a model of the file, and for no other."""
    load_study(study)
    mark = study.with_name("imported")
    mark.unlink()
    with Worker() as worker:
        worker.ask(count("cnn", (1, 16, 16)))
        assert not mark.exists()
        assert worker.ask(count("mine", (2,)))
        assert mark.exists()


def test_file_that_changes_under_a_run_is_refused(study: Path) -> None:
    """What workers import is what the parent has read."""
    load_study(study)
    study.write_text(STUDY + "\nx = 1\n")
    with Worker() as worker, pytest.raises(UsageError, match="changed since the run began"):
        worker.ask(count("mine", (2,)))


BROKEN = {
    "line 2: SyntaxError": "x = 1\ndef f(:\n",
    r"study\.py, line 2: ZeroDivisionError": "\n1 / 0\n",
    "No module named 'nowhere'": "import nowhere\n",
    "no MODELS and no TASKS": "x = 1\n",
    "MODELS is no dictionary": "MODELS = [1]\n",
    "model 'a' is a int": "MODELS = {'a': 3}\n",
    "SUITE is a str": "MODELS = {'a': lambda: 1}\nSUITE = 'smoke'\n",
    "CLAIMS names": "MODELS = {'a': lambda: 1}\nCLAIMS = 'claims.toml'\n",
    "TASKS\\['t'\\] is a int": "TASKS = {'t': 3}\n",
    "model 'softmax' is one of the suite's": "MODELS = {'softmax': lambda: 1}\n",
    "no model 'cnn-5'": "MODELS = {'a': 'cnn-5'}\n",
    "SystemExit": "exit()\n",
}


@pytest.mark.parametrize("words", BROKEN)
def test_broken_study_is_named_with_file_and_line(words: str, tmp_path: Path) -> None:
    """Whatever is wrong with it is one sentence."""
    path = tmp_path / "study.py"
    path.write_text(BROKEN[words])
    with pytest.raises(UsageError, match=words):
        load_study(path)


def test_script_that_compares_is_a_study_too(tmp_path: Path) -> None:
    """`run SCRIPT.py` takes what the script hands to compare, with seeds and claims; reading it compares nothing."""
    (tmp_path / "c.toml").write_text("")
    path = tmp_path / "script.py"
    path.write_text(
        "import dlmi_bench as db\nfrom torch import nn\n"
        'db.compare({"mine": lambda: nn.Linear(2, 2)}, "usps", seeds=3, claims="c.toml", out="nowhere")\n1 / 0\n'
    )
    loaded = load_study(path)
    assert (loaded.suite.models, loaded.suite.tasks, loaded.suite.n_seeds) == (("mine",), ("usps",), 3)
    assert loaded.claims == tmp_path / "c.toml"
    assert not (tmp_path / "nowhere").exists()


def test_default_questions_follow_the_models_until_they_are_edited(tmp_path: Path) -> None:
    """Another model is asked about at the next run; a file without the first line is the user's."""
    kept = tmp_path / "claims.toml"
    for names in (("mine", "a"), ("mine", "a", "b")):
        StudyFile(Suite(tasks=("t",)), names).keep_claims(tmp_path)
        assert ("mine-accuracy-vs-b" in kept.read_text()) is ("b" in names)
    kept.write_text(edited := kept.read_text().partition("\n")[2])
    StudyFile(Suite(tasks=("t",)), ("mine", "c")).keep_claims(tmp_path)
    assert kept.read_text() == edited


def test_study_that_measures_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """It would measure again in each worker, beside what is timed."""
    path = tmp_path / "study.py"
    path.write_text('import dlmi_bench as db\ndb.count("softmax")\nMODELS = {"a": "softmax"}\n')
    with pytest.raises(UsageError, match="measures while it is being read"):
        load_study(path)


def test_words_name_models(tmp_path: Path) -> None:
    """A registered name, a module, a file; anything else lists what there is."""
    (tmp_path / "net.py").write_text("")
    assert find_model("softmax") == Place(alias="softmax")
    assert find_model("email.message:Message") == Place("email.message", "Message")
    with pytest.raises(UsageError, match=r"no module 'a\.b'"):
        find_model("a.b:make")
    found = find_model(f"{tmp_path}/net.py:make")
    assert isinstance(found, Place)
    assert (found.module.startswith(PREFIX), found.factory) == (True, "make")
    for word in ("nothing", ":make", "a.b:"):
        with pytest.raises(UsageError, match="no model"):
            find_model(word)
    with pytest.raises(UsageError, match=r"nowhere\.py: No such file"):
        find_model(f"{tmp_path}/nowhere.py:make")


def test_code_of_neighbours_counts_and_comments_do_not(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper beside the file is part of it; another folder, a library and this project's own code are not."""
    monkeypatch.syspath_prepend(study.parent)
    monkeypatch.chdir(study.parent)  # built-in modules have no file, here or elsewhere
    name = adopt_file(study)
    assert list_closure([name]) == tuple(sorted([name, "helper"]))
    before = hash_code(list_closure([name]))
    clear_caches()
    study.with_name("helper.py").write_text("# why\n" + HELPER)
    assert hash_code(list_closure([name])) == before
    clear_caches()
    study.with_name("helper.py").write_text(HELPER.replace("2, 2", "2, 3"))
    assert hash_code(list_closure([name])) != before


def clear_caches() -> None:
    from dlmi_bench import closure

    for function in (closure.hash_module, closure._list_imports, closure.find_file):
        function.cache_clear()


def test_record_names_every_file_with_its_hash(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study and its helper; of models of ours nothing."""
    monkeypatch.syspath_prepend(study.parent)
    clear_caches()
    load_study(study)
    (described,) = describe_plugins((), ["mine", "cnn-4"])
    assert described["name"] == "study.py"
    assert set(described["files"]) == {"study.py", "helper.py"}  # type: ignore[arg-type]
    assert describe_plugins(("usps",), ["cnn-4"]) == []


def test_objects_of_a_notebook_are_hashed_by_what_they_do() -> None:
    """Another constant, another global or another function that it calls is another program; a comment is not."""
    texts = [
        "n = 1\ndef g(x): return x + n\ndef f(x): return g(x)",
        "n = 1\ndef g(x):\n    # why\n    return x + n\ndef f(x): return g(x)",
        "n = 2\ndef g(x): return x + n\ndef f(x): return g(x)",
        "n = 1\ndef g(x): return x - n\ndef f(x): return g(x)",
        "n = 1\ndef g(x): return x + n\ndef f(x): return g(x) + 1",
    ]
    hashes = []
    for text in texts:
        names: dict[str, object] = {"__name__": "__main__"}
        exec(text, names)  # noqa: S102
        hashes.append(hash_objects(names["f"]))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


PACKAGE = {
    "good/__init__.py": "",
    "good/nets.py": "from torch import nn\ndef make(n_classes): return nn.Linear(2, n_classes)\n",
    "bad/__init__.py": "1 / 0\n",
    "some-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: some\nVersion: 1.0\n",
    "some-1.0.dist-info/entry_points.txt": (
        "[dlmi_bench.models]\nfine = good.nets:make\nsoftmax = good.nets:make\nbroken = bad:make\n"
        "[dlmi_bench.tasks]\nbroken-task = bad:TASK\n"
        "[dlmi_bench.backends]\nbroken-backend = bad:ENTRY\nno-backend = good.nets:make\n"
    ),
}


def test_packages_offer_models_tasks_and_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good ones join; broken ones and taken names are left out with the reason, and take nothing else with them."""
    monkeypatch.syspath_prepend(plant(tmp_path, PACKAGE))
    plugins.load_entry_points.cache_clear()
    plugins.load_entry_points()
    assert MODELS["fine"].build((2,), 3) is not None
    assert MODELS["softmax"].module == "dlmi_models.softmax"
    with pytest.raises(ZeroDivisionError):
        MODELS["broken"].build((2,), 3)
    with pytest.raises(UsageError, match=r"task 'broken-task': .*bad/__init__\.py, line 1: ZeroDivisionError"):
        get_task("broken-task")
    assert set(plugins.FAULTS) == {"models softmax", "backend broken-backend", "backend no-backend"}
    assert "bad/__init__.py, line 1: ZeroDivisionError" in plugins.FAULTS["backend broken-backend"]
    assert not {"broken-backend", "no-backend"} & {*BACKENDS}


def test_list_shows_what_is_left_out(tmp_path: Path) -> None:
    """The command lists all that works, names the broken task, and ends well."""
    places = [str(plant(tmp_path, PACKAGE)), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(
        [sys.executable, "-m", "dlmi_bench", "list"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in ("fine", "broken: task 'broken-task'", "left out", "models softmax", "the name is taken", "usps"):
        assert words in done.stdout


def test_names_of_ours_stay_ours() -> None:
    """Neither a model nor a task of the user's takes the place of a registered one; its own it may replace."""
    with pytest.raises(UsageError, match="one of the suite's"):
        adopt_model("softmax", Place("a", "b"))
    with pytest.raises(UsageError, match="one of the suite's"):
        adopt_task("usps", "a")
    adopt_model("mine", Place("a", "b"))
    adopt_model("mine", Place("c", "d"))
    assert MODELS["mine"].module == "c"


def test_installed_package_is_known_by_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with version and hash of its record; a package outside of what is installed shows its files."""
    (described,) = describe_plugins((), [adopt("torchvision.models", "resnet18")])
    assert described["name"].startswith("torchvision ")  # type: ignore[union-attr]
    assert list(described["files"]) == ["RECORD"]  # type: ignore[arg-type]
    monkeypatch.syspath_prepend(plant(tmp_path, PACKAGE))
    clear_caches()
    (described,) = describe_plugins((), [adopt("good.nets", "make")])
    assert (described["name"], list(described["files"])) == ("good.nets", ["nets.py"])  # type: ignore[arg-type]


def adopt(module: str, factory: str) -> str:
    adopt_model("mine", Place(module, factory))
    return "mine"
