"""The public API: what it offers, what it costs to import, and its examples as they stand in the docstrings."""

import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dlmi_bench
from dlmi_bench.api import Answer
from stand_ins import Command

LIGHT = """
import sys, time
before = time.perf_counter()
import dlmi_bench
assert time.perf_counter() - before < LIMIT_S, time.perf_counter() - before
dir(dlmi_bench)
print(*sys.modules)
"""


def test_import_is_light() -> None:
    """It loads neither torch nor pandas nor numpy, and takes next to no time (50 ms when the machine is quiet)."""
    code = LIGHT.replace("LIMIT_S", "0.5")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "numpy", "pydantic", "rich", "typer"} & set(done.stdout.split())


def test_every_name_is_there_and_explained() -> None:
    """Each has a docstring that can be read in a tooltip; a name that is not offered is an AttributeError."""
    for name in dlmi_bench.__all__:
        offered = getattr(dlmi_bench, name)
        assert offered.__doc__, name
        assert not offered.__doc__.startswith(f"{offered.__name__}("), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dlmi_bench.nothing  # noqa: B018
    with pytest.raises(ImportError):
        exec("from dlmi_bench import nothing")  # noqa: S102


@pytest.mark.slow
def test_examples_in_docstrings(finished: Command, tmp_path: Path, own_settings: None) -> None:
    """Each function has an example, and each example runs, on the results of a tiny suite."""
    api = import_module("dlmi_bench.api")
    out = finished.folder / "out"
    known = {
        "out": str(out),
        "suite_file": str(finished.folder / "tiny.toml"),
        "onnx_file": str(next(out.rglob("*.onnx"))),
    }
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    functions = [name for name in dlmi_bench.__all__ if getattr(api, name, None) and name != "Answer"]
    for name in functions:
        text = getattr(api, name).__doc__
        test = parser.get_doctest(text, dict(known), name, None, None)
        assert test.examples, f"{name} has no example"
        runner.run(test)
    assert runner.tries >= 2 * len(functions)
    assert runner.failures == 0


def test_answers_are_tables_and_text() -> None:
    """The same rows as a DataFrame and as HTML, which escapes what a name may hold."""
    answer = Answer(1, [{"name": "<b>", "latency_s": 1e-3}, {"name": "b", "latency_s": None}], "text")
    assert str(answer) == "text"
    assert answer.to_dataframe()["latency_s"].tolist()[0] == 1e-3
    assert "&lt;b&gt;" in answer._repr_html_()
    assert "<b>" not in answer._repr_html_()
