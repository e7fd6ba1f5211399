"""Suites by name and from a user's file."""

from pathlib import Path

import pytest

from dlmi_bench.errors import UsageError
from dlmi_bench.suite.suites import SUITES, check_names, load_suite, override
from stand_ins import Command


@pytest.mark.parametrize("name", SUITES)
def test_own_suites_name_only_what_exists(name: str) -> None:
    """Every task, model and backend of the built-in suites is registered."""
    assert check_names(load_suite(name), name) == SUITES[name]


def test_file_is_read(tmp_path: Path) -> None:
    """Fields that are given win, the others keep the defaults, and the suite is called like its file."""
    path = tmp_path / "mine.toml"
    path.write_text('models = ["softmax"]\nn_seeds = 3\n')
    suite = load_suite(str(path))
    assert (suite.name, suite.models, suite.n_seeds, suite.n_processes) == ("mine", ("softmax",), 3, 5)


def test_file_is_utf_8_whatever_the_locale(command: Command) -> None:
    """Under one that knows ASCII alone, a remark with an accent is read, and the error is that of the line below it."""
    (command.folder / "mine.toml").write_bytes('# d\xe9j\xe0 vu\nmodels = ["mlp"]\n'.encode())
    done = command("run", "--suite", "mine.toml", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, "mlp-64-32" in done.stderr) == (2, True), done.stderr


ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_file_of_another_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    """Editors and shells of Windows write a byte order mark, UTF-16, and two characters at the end of a line."""
    path = tmp_path / "mine.toml"
    path.write_bytes('n_seeds = 3\r\nmodels = ["softmax"] # d\xe9j\xe0 vu\r\n'.encode(encoding))
    assert (load_suite(str(path)).n_seeds, load_suite(str(path)).models) == (3, ("softmax",))


def test_file_of_no_unicode_says_how_to_save_it(tmp_path: Path) -> None:
    """Latin-1 cannot be told from a dozen others, so it is refused, with the byte that gives it away."""
    path = tmp_path / "mine.toml"
    path.write_bytes("# d\xe9j\xe0".encode("latin-1"))
    with pytest.raises(UsageError, match=r"neither UTF-8 nor UTF-16: .* at byte 3\n  remedy: save it as UTF-8"):
        load_suite(str(path))


def test_models_of_a_suite_that_fit_none_of_the_named_tasks_are_left_out() -> None:
    """`--suite smoke --task usps`: the network for slices is not asked for; where none is left, that is an error."""
    assert override(SUITES["smoke"], tasks=["usps"]).models == ("mlp-64-32", "cnn-4")
    with pytest.raises(UsageError, match="takes the images of none"):
        override(SUITES["smoke"].model_copy(update={"models": ("vgg16-c",)}), tasks=["usps"])
    with pytest.raises(UsageError, match="takes the images of none"):
        override(SUITES["smoke"], tasks=["usps"], models=["vgg16-c"])


BAD = {
    "unknown field": ("n_seed = 3", "n_seed"),
    "wrong type": ('n_seeds = "many"', "n_seeds"),
    "out of range": ("n_seeds = 0", "n_seeds"),
    "two problems": ("n_seeds = 0\nn_rounds = 1", "n_rounds"),
    "not TOML": ("n_seeds = = 3", "line 1"),
    "unknown model": ('models = ["mlp"]', "mlp-64-32"),
    "batch of nothing": ("batches = [0]", "batches"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_with_the_field(case: str, tmp_path: Path) -> None:
    """Each mistake is an error of usage that names the file and the field."""
    text, word = BAD[case]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=word) as caught:
        load_suite(str(path))
    assert str(path) in str(caught.value)


def test_unknown_names_list_what_there_is() -> None:
    """A misspelt suite is answered with the names that exist."""
    with pytest.raises(UsageError, match="smoke, default, ablation"):
        load_suite("smok")
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        load_suite("nowhere.toml")


def test_file_that_cannot_be_read_has_its_own_remedy(tmp_path: Path) -> None:
    """It is the place or its permissions that must change; its fields are not known."""
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(UsageError, match=r"mine\.toml: Is a directory\n.*name a file that can be read"):
        load_suite(str(tmp_path / "mine.toml"))
