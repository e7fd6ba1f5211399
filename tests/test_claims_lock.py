"""The lock of claims: what it holds, what it names later, and that it is never replaced or believed when edited."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import dlmi_bench
from dlmi_bench.cli.main import app
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.records import Record
from dlmi_bench.store import Store
from dlmi_bench.store.rows import StoredRow
from dlmi_reports.claims.changes import LockedVerdicts, format_locked, judge_results
from dlmi_reports.claims.file import load_claims
from dlmi_reports.claims.lock import NAME, Lock, hash_fields, load_lock, make_lock, write_lock
from dlmi_reports.claims.verdicts import ClaimVerdict
from dlmi_reports.page import make_claim_section
from dlmi_reports.results.load import load_results
from report_stores import PROVENANCE, keep_answers, train_record
from stand_ins import Command, check_answer

DATA = {"toy": {"test": "a" * 64}}
SUITE: dict[str, Any] = {"name": "mine", "n_seeds": 5}
BEFORE, AFTER = "2000-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00"  # any training of these tests
HEAD = '[[claim]]\nsentence = "It is so."\nsource = "us"\ntask = "toy"\nmodel = "m"\n'
NEAR = HEAD + 'id = "near"\nkind = "equivalent"\nagainst = ["n"]\nmargin = 0.01\n'
GOOD = HEAD + 'id = "good"\nkind = "above"\nvalue = 0.5\n'


def make_trained(folder: Path, model: str, index: int, *, suite: dict[str, Any], sha256: str = "a" * 64) -> Record:
    record = keep_answers(folder, train_record(model, index, 0.9, 1.0), range(9 + index % 3))
    data = {**PROVENANCE["data"], "sha256": {"test": sha256}}  # type: ignore[dict-item]
    return record.model_copy(update={"provenance": {**record.provenance, "data": data, "suite": suite}})


def write_claims(folder: Path, text: str) -> Path:
    path = folder / "claims.toml"
    path.write_text(text, encoding="utf-8")
    return path


def lock(folder: Path, text: str, *, at: str = BEFORE, suite: dict[str, Any] | None = None) -> Lock:
    """Lock claims at a time that is told."""
    stated = load_claims(write_claims(folder, text))
    made = make_lock(stated, version="1", file="claims.toml", data=DATA, suite=suite or {})
    made = Lock.model_validate(made.model_dump(mode="json") | {"locked_at": at})
    write_lock(made, folder)
    return made


def train(folder: Path, *, n_seeds: int = 5, sha256: str = "a" * 64, done: int = 5) -> None:
    suite = {**SUITE, "n_seeds": n_seeds}
    store = Store(folder)
    store.add_done([(make_trained(folder, m, i, suite=suite, sha256=sha256), "f") for m in "mn" for i in range(done)])
    store.close()


def judge(folder: Path) -> LockedVerdicts:
    return judge_results(load_results(Store(folder, must_exist=True)))


def test_nothing_is_said_without_a_lock(tmp_path: Path) -> None:
    """Verdicts, text and table are those of before."""
    train(tmp_path)
    write_claims(tmp_path, GOOD)
    found = judge(tmp_path)
    assert (found.lock.lines, dict(found.lock.notes)) == ((), {})
    assert format_locked(found).startswith("SUPPORTED")
    assert make_claim_section(load_results(Store(tmp_path))).tables[0].rows[0][1] == "SUPPORTED"


def test_unchanged_claims_have_the_time_only(tmp_path: Path) -> None:
    """Locked before, with the digest that was published; no claim, datum or setting differs."""
    made = lock(tmp_path, GOOD + NEAR, suite=SUITE)
    train(tmp_path)
    found = judge(tmp_path)
    (line,) = found.lock.lines
    head = (
        f"Claims locked on 2000-01-01 00:00:00 UTC (sha256 {made.sha256[:16]}…), before the first training was done ("
    )
    assert line.startswith(head)
    assert not any(found.lock.notes.values())
    assert len(found.get("good").evidence) == 1


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ("margin = 0.01", "margin = 0.02", "changed after lock: margin 0.01 -> 0.02"),
        ('against = ["n"]', 'against = ["n", "m2"]', 'changed after lock: against ["n"] -> ["n", "m2"]'),
        ('"It is so."', '"It is thus."', "changed after lock: sentence It is so. -> It is thus."),
        ("margin = 0.01", "margin = 0.01\nalpha = 0.01", "changed after lock: alpha null -> 0.01"),
        (
            'kind = "equivalent"',
            'kind = "non_inferior"',
            "changed after lock: kind equivalent -> non_inferior, test two one-sided -> two-way",
        ),
    ],
)
def test_changed_claim_names_its_fields(then: str, now: str, said: str, tmp_path: Path) -> None:
    """Beside its verdict in the text, in the table and in the words of the report; the other claim says nothing."""
    lock(tmp_path, NEAR + GOOD)
    train(tmp_path)
    write_claims(tmp_path, NEAR.replace(then, now) + GOOD)
    found = judge(tmp_path)
    assert found.get("near").evidence[-1] == said
    assert "Claims changed after lock: near" in found.lock.lines
    assert found.lock.notes["good"] == ()
    section = make_claim_section(load_results(Store(tmp_path)))
    rows = {row[0]: row[1] for row in section.tables[0].rows}
    assert rows == {"near": f"{found.get('near').verdict}; {said}", "good": "SUPPORTED"}
    assert said in " ".join(section.details)
    assert section.lead[0] == found.lock.lines[0]


def test_added_and_removed_claims_are_named(tmp_path: Path) -> None:
    """A claim that came later says so; one that is gone is named at the top."""
    lock(tmp_path, NEAR)
    train(tmp_path)
    write_claims(tmp_path, GOOD)
    found = judge(tmp_path)
    assert found.get("good").evidence[-1] == "added after lock"
    assert {"Claims added after lock: good", "Claims removed after lock: near"} < set(found.lock.lines)
    assert not any(line.startswith("Claims changed") for line in found.lock.lines)


def test_claims_about_other_tasks_are_not_called_removed(tmp_path: Path) -> None:
    """A report leaves them out and counts them; the file still has them. Data that was not locked is named."""
    other = GOOD.replace('"toy"', '"usps"').replace('"good"', '"other"')
    lock(tmp_path, other + GOOD.replace('"good"', '"old"'))
    train(tmp_path)
    write_claims(tmp_path, other + GOOD)
    section = make_claim_section(load_results(Store(tmp_path)))
    assert section.lead[1:3] == ["Claims added after lock: good", "Claims removed after lock: old"]
    assert "Not shown: 1 claims" in section.lead[-1]


def test_course_claims_of_a_task_without_results_are_not_called_removed(tmp_path: Path) -> None:
    """They are chosen by task when they are locked and when they are judged."""
    stated = load_claims()
    write_lock(make_lock(stated, version="1", file="", data=DATA), tmp_path)
    train(tmp_path)
    assert not any("removed" in line for line in judge(tmp_path).lock.lines)


def test_changed_data_are_named(tmp_path: Path) -> None:
    """One training on other data is enough; a task whose data was not locked is named at the top."""
    lock(tmp_path, GOOD)
    train(tmp_path)
    store = Store(tmp_path)
    store.add_done([(make_trained(tmp_path, "n", 7, suite={}, sha256="b" * 64), "f")])
    store.close()
    assert judge(tmp_path).get("good").evidence[-1] == "the data of toy changed after lock"
    bare = json.loads((tmp_path / NAME).read_text()) | {"data": {}}
    (tmp_path / NAME).write_text(json.dumps(bare))
    assert judge(tmp_path).lock.lines[-1] == "Data was not locked of: toy"


def test_changed_suite_is_named_with_all_its_values(tmp_path: Path) -> None:
    """Five seeds were locked; twenty were asked for, and then forty. Settings that were not locked say nothing."""
    lock(tmp_path, GOOD, suite={"n_seeds": 5})
    train(tmp_path)
    assert len(judge(tmp_path).lock.lines) == 1
    for index, n_seeds in enumerate((20, 40)):
        store = Store(tmp_path)
        store.add_done([(make_trained(tmp_path, "m", 5 + index, suite={"name": "x", "n_seeds": n_seeds}), "f")])
        store.close()
    assert judge(tmp_path).lock.lines[1] == "Suite changed after lock: n_seeds 5 -> 20 or 40"


def test_changed_level_is_named(tmp_path: Path) -> None:
    """The settings of the whole file, whatever they are."""
    lock(tmp_path, GOOD)
    train(tmp_path)
    write_claims(tmp_path, f"alpha = 0.1\n{GOOD}")
    assert judge(tmp_path).lock.lines[1] == "File changed after lock: alpha 0.05 -> 0.1"


def test_lock_after_results_is_told(tmp_path: Path) -> None:
    """Also where the training that was there first has been replaced; an attempt that failed is no result."""
    train(tmp_path)
    lock(tmp_path, GOOD, at=AFTER)
    assert "AFTER RESULTS EXISTED (first training 20" in judge(tmp_path).lock.lines[0]
    store = Store(tmp_path)
    record = make_trained(tmp_path, "m", 0, suite={}).model_dump_json()
    store.add_rows(
        [
            StoredRow("train/toy/m/9", "f", "failed", None, "no memory", "1990-01-01T00:00:00+00:00").sign(),
            StoredRow("train/toy/m/0", "f", "done", record, None, "1999-01-01T00:00:00+00:00").sign(),
            StoredRow("train/toy/m/0", "f", "done", record, None, "2001-01-01T00:00:00+00:00").sign(),
        ]
    )
    store.close()
    (tmp_path / NAME).unlink()
    lock(tmp_path, GOOD)
    assert "AFTER RESULTS EXISTED (first training 1999-01-01 00:00:00 UTC)" in judge(tmp_path).lock.lines[0]


@pytest.mark.parametrize("time", ["now", "9999-12-31T23:59:59-23:59", ""])
def test_unreadable_time_is_not_guessed(time: str, tmp_path: Path) -> None:
    """A store may hold anything as a time."""
    store = Store(tmp_path)
    record = make_trained(tmp_path, "m", 0, suite={}).model_dump_json()
    store.add_rows([StoredRow("train/toy/m/0", "f", "done", record, None, time).sign()])
    store.close()
    lock(tmp_path, GOOD)
    said = "before any training" if not time else "cannot be read"
    assert judge(tmp_path).lock.lines[0].endswith(said)


def test_field_that_is_newer_than_the_lock_had_its_default(tmp_path: Path) -> None:
    """An older version did not know it: the default is no change, another value is."""
    made = lock(tmp_path, GOOD).model_dump(mode="json")
    fields = {name: value for name, value in made["claims"]["good"]["fields"].items() if name not in ("test", "data")}
    made["claims"]["good"] = {"sha256": hash_fields(fields), "fields": fields}
    (tmp_path / NAME).write_text(json.dumps(made))
    train(tmp_path)
    assert judge(tmp_path).lock.notes["good"] == ()
    write_claims(tmp_path, GOOD + 'data = "synthetic"\n')
    assert judge(tmp_path).lock.notes["good"] == ("changed after lock: data any -> synthetic",)


def test_digest_is_that_of_canonical_json() -> None:
    """The order of fields changes nothing; this is what sha256sum says of {"a":1,"b":[2]}."""
    wanted = "0855bfc20eb6cfaa4be7d6b510c63dd22997718bddadcb1a4915cec3a16145b9"
    assert hash_fields({"b": [2], "a": 1}) == wanted


def edit(change: Callable[[dict[str, Any]], object], folder: Path) -> None:
    content = json.loads((folder / NAME).read_text())
    change(content)
    (folder / NAME).write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["claims"]["good"]["fields"].update(value=0.4),
        lambda content: content["settings"]["fields"].update(alpha=0.5),
        lambda content: content.update(locked_at="2000-01-01T00:00:00"),
        lambda content: content.update(more=1),
        lambda content: content["data"]["toy"].update(test="../../x"),
    ],
)
def test_edited_lock_is_refused(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    """A field that no longer has its digest, a time without a zone, what is no lock: never a verdict."""
    lock(tmp_path, GOOD)
    train(tmp_path)
    assert judge(tmp_path).count(ClaimVerdict.supported) == 1
    edit(change, tmp_path)
    with pytest.raises(DataError) as caught:
        judge(tmp_path)
    assert str(tmp_path / NAME) in caught.value.cause


def test_text_of_a_lock_steers_no_terminal(tmp_path: Path) -> None:
    """Names and values of a lock are shown short and clean, and thousands of them are counted."""
    made = lock(tmp_path, GOOD).model_dump(mode="json")
    evil = {"id": "x", "value": "\x1b[2J::error::" + "y" * 500}
    names = ["\u202egood\x1b[2J", *(f"c{i}" for i in range(2000))]
    made["claims"] |= {name: {"sha256": hash_fields(evil), "fields": evil} for name in names}
    made["claims"]["good"] = {"sha256": hash_fields(evil), "fields": evil}
    (tmp_path / NAME).write_text(json.dumps(made))
    train(tmp_path)
    found = judge(tmp_path)
    text = "".join([*found.lock.lines, *found.lock.notes["good"]])
    assert text.isprintable()
    assert "and 1981 more" in text
    assert len(text) < 2000


def test_lock_is_never_replaced(tmp_path: Path) -> None:
    """Neither by the function nor by another lock; the content stays."""
    made = lock(tmp_path, GOOD)
    with pytest.raises(UsageError, match="never replaced"):
        write_lock(made, tmp_path)
    with pytest.raises(UsageError, match="never replaced"):
        dlmi_bench.lock_claims(tmp_path, suite="smoke")
    assert load_lock(tmp_path) == made


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, ["claims", *words])


def test_command_shows_the_lock(tmp_path: Path) -> None:
    """At the top of the text, and in its field of the JSON."""
    lock(tmp_path, NEAR + GOOD)
    train(tmp_path)
    write_claims(tmp_path, NEAR.replace("0.01", "0.02") + GOOD)
    text = invoke("--out", str(tmp_path)).stdout
    assert text.startswith("Claims locked on 2000-01-01 00:00:00 UTC")
    assert "changed after lock: margin 0.01 -> 0.02" in text
    assert max(map(len, text.splitlines())) <= 80
    found: Any = check_answer("claims", invoke("--out", str(tmp_path), "--json").stdout)
    assert found["lock"][1:] == ["Claims changed after lock: near"]
    assert found["claims"][0]["evidence"][-1] == "changed after lock: margin 0.01 -> 0.02"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lok"], "claims lok: no such word"),
        (["lock", "mine"], "claims mine: no such word"),
        (["--suite", "smoke"], "belong to `claims lock`"),
        (["lock", "--suite", "smok"], "no suite 'smok'"),
    ],
)
def test_wrong_words_are_told(words: list[str], said: str, tmp_path: Path) -> None:
    """Before anything is read or written."""
    done = invoke(*words, "--out", str(tmp_path))
    assert isinstance(done.exception, UsageError)
    assert said in done.exception.cause
    assert list(tmp_path.iterdir()) == []


def test_misspelt_name_is_not_locked(tmp_path: Path) -> None:
    """A claim about a model that does not exist would never be measured."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('"toy"', '"usps"').replace('"m"', '"softmx"'))
    done = invoke("lock", "--out", str(tmp_path), "--file", str(path))
    assert isinstance(done.exception, UsageError)
    assert "did you mean softmax" in done.exception.remedy
    assert not (tmp_path / NAME).exists()


STUDY = """
import numpy as np
import dlmi_bench as db
from torch import nn

class Net(nn.Sequential):
    def __init__(self): super().__init__(nn.Flatten(), nn.Linear(16, 2))

rng = np.random.default_rng(0)
images, labels = rng.normal(size=(40, 4, 4)).astype("float32"), np.arange(40) % 2
TASKS = {"own": db.Task.from_arrays(images, labels, name="own")}
MODELS = {"net": Net}
SUITE = db.Suite(n_seeds=7)
"""


def test_study_is_locked_with_its_claims_data_and_suite(command: Command) -> None:
    """Its claims are those that the run will judge, and the sum that is printed is that of the file."""
    (command.folder / "study.py").write_text(STUDY + 'CLAIMS = "mine.toml"\n')
    (command.folder / "mine.toml").write_text(GOOD.replace('"toy"', '"own"').replace('"m"', '"net"'))
    found: Any = command.json("claims", "lock", "study.py", "--seeds", "9", "--out", "new")
    made = load_lock(command.folder / "new")
    assert made == Lock.model_validate(found["lock"])
    assert made is not None
    assert (list(made.claims), list(made.data), made.suite["n_seeds"]) == (["good"], ["own"], 9)
    done = command("claims", "lock", "study.py", "--out", "newer")
    path = command.folder / "newer" / NAME
    summed = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"1 claims locked in newer/{NAME}, with the data of own\nsha256 {summed}:" in done.stdout


def test_locking_digits_loads_no_torch(tmp_path: Path, official: Path) -> None:
    """Data of the course's digits are hashed as their trainings will hash them."""
    code = f"""
import sys, dlmi_bench
locked = dlmi_bench.lock_claims({str(tmp_path)!r}, suite="smoke")
assert "torch" not in sys.modules
print(locked.content.data["usps"]["test_labels"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.strip()) == 64
