"""A part of `nox -s fuzz`: damaged files of every format are refused in words, or read as what they are."""

import random

import pytest

import fuzz
from fuzz_formats import FORMATS, Format

N_CASES = 500
TOTAL = sum(entry.weight for entry in FORMATS.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_refused_in_words(name: str) -> None:
    """No traceback, no hang, and nothing else is believed where a checksum can tell."""
    entry = FORMATS[name]
    for index in range(max(3, round(N_CASES * entry.weight / TOTAL))):
        outcome, said = fuzz.run_one(name, index)
        assert outcome not in ("traceback", "hang"), f"{index}: {said}"
        assert outcome != "different" or not entry.is_checked, index


def test_mutations_repeat_and_differ() -> None:
    """The number of a mutation is all that it takes to see it again."""
    made = [fuzz.mutate(b"0123456789" * 20, random.Random(f"x/{index}")) for index in range(50)]
    assert made == [fuzz.mutate(b"0123456789" * 20, random.Random(f"x/{index}")) for index in range(50)]
    assert len(set(made)) > 45


def test_reader_that_raises_or_hangs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: an error of Python's own, an endless loop and believed damage each have their name."""

    def loop(_: object) -> None:
        while True:
            pass

    readers = {"traceback": lambda path: int(path.read_bytes()), "hang": loop, "different": lambda path: path.stat()}
    for name, read in readers.items():
        calls = iter([lambda _: None, read])
        entry = Format(FORMATS["artifact"].make, lambda path, calls=calls: next(calls)(path))
        monkeypatch.setitem(FORMATS, "artifact", entry)
        assert fuzz.run_one("artifact", 0, bound=0.2)[0] == name
