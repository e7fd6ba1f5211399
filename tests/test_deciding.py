"""More seeds where they decide: what is trained, in which order, and when it stops. Trainings are drawn, not done."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.deciding.allocation import OpenClaim, choose_cells
from dlmi_bench.deciding.arms import Arm, is_trainable, list_arms, select_decidable
from dlmi_bench.deciding.limits import Limits, check_looks, choose_limits, list_allowed, parse_duration
from dlmi_bench.deciding.session import decide
from dlmi_bench.errors import UsageError
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import put_array
from dlmi_bench.suite.outcome import Outcome
from dlmi_bench.suite.suites import Suite
from dlmi_reports.claims.file import ClaimFile, load_claims
from dlmi_reports.claims.verdicts import judge_store

N = 2000
LABELS = np.arange(N) % 10
HARD = np.random.default_rng(1).permutation(N)  # the same examples are hard for all
PROVENANCE = {"data": {"name": "toy", "source": "nowhere", "sha256": {}, "is_synthetic": False, "note": ""}}
HEAD = "alpha = 0.05\nlooks = [5, 10, 20]\n"
CLAIM = '[[claim]]\nid = "{id}"\nkind = "non_inferior"\ntask = "usps"\nmodel = "{model}"\nagainst = ["{other}"]\n'
CLAIM += 'margin = 0.01\nsentence = "It is so."\nsource = "us"\n'
FEW, MORE = Arm("usps", "mlp-64-32"), Arm("usps", "cnn-4")


class DrawnRunner:
    """Trainings whose mistakes are drawn around an accuracy, with a spread over seeds [points].

    All make the same mistakes, so that more seeds tell more; a `rough` model makes its own, so that they hardly do.
    """

    def __init__(self, store: Store, spread: float, *, broken: Collection[str] = (), rough: Collection[str] = ()):
        self.store, self.spread, self.broken, self.rough = store, spread, broken, rough
        self.asked: list[Cell] = []
        self.now_s = 0.0

    def count_places(self) -> int:
        return 2

    def compute_references(self, tasks: Iterable[str], _: object) -> Outcome:
        return Outcome()

    def train(self, cells: Sequence[Cell], _: object, *, deadline_s: float | None = None) -> Outcome:
        stored = self.store.current()
        for cell in cells:
            is_late = deadline_s is not None and self.now_s >= deadline_s
            if cell.key in stored or is_late:
                continue
            self.asked.append(cell)
            self.now_s += 1
            if cell.model not in self.broken:
                self.store.add_done([(self.draw(cell), "f")])
        return Outcome()

    def draw(self, cell: Cell) -> Record:
        rng = np.random.default_rng(cell.seed)
        accuracy = ACCURACIES[cell.model] + self.spread / 100 * rng.standard_normal()
        order = np.random.default_rng(len(cell.model)).permutation(400) if cell.model in self.rough else np.arange(400)
        wrong = HARD[order[: round(N * (1 - accuracy))]]
        scores = np.eye(10, dtype=np.float32)[LABELS]
        scores[wrong] = np.roll(scores[wrong], 1, axis=1)
        arrays = {"test_scores": scores, "test_labels": LABELS.astype(np.uint8)}
        kept = tuple(put_array(self.store.folder, role, a) for role, a in arrays.items())
        found = Figure(name="test_accuracy", value=1 - len(wrong) / N, kind="measured", source="file", n=N)
        return Record(cell=cell, figures=(found,), artifacts=kept, provenance=PROVENANCE)


class Lines:
    """Display that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def read_file(folder: Path, *claims: str) -> ClaimFile:
    path = folder / "claims.toml"
    path.write_text(HEAD + "\n".join(claims))
    return load_claims(path)


def run(runner: DrawnRunner, file: ClaimFile, lines: Lines | None = None, **limits: object) -> dict[str, int]:
    """Decide, from one training on, and count the seeds of each model that were trained."""
    if not runner.store.current():
        runner.train(list_arms(file.claim[0])[0].list_cells(1), None)  # type: ignore[arg-type]
    chosen = Limits(**({"budget_s": math.inf, "max_seeds": 20} | limits))  # type: ignore[arg-type]
    decide(runner, runner.store, file, chosen, lines or Lines(), n_first=5, clock=lambda: runner.now_s)  # type: ignore[arg-type]
    return dict(Counter(cell.model for cell in runner.asked))


EASY = CLAIM.format(id="easy", model="mlp-64-32", other="lecun-1989")
CLOSE = CLAIM.format(id="close", model="mlp-64-32", other="cnn-4")
EVEN = CLAIM.format(id="even", model="softmax", other="mlp-24-16")
ACCURACIES = {"mlp-64-32": 0.95, "lecun-1989": 0.94, "cnn-4": 0.952, "softmax": 0.93, "mlp-24-16": 0.94}


def test_seeds_go_to_the_open_claim_only(tmp_path: Path) -> None:
    """A claim that five seeds decide gets no more; one within reach gets more of its own two models until it is."""
    store = Store(tmp_path)
    lines, file = Lines(), read_file(tmp_path, EASY, CLOSE)
    trained = run(DrawnRunner(store, 0.8), file, lines)
    assert trained["lecun-1989"] == 5
    assert trained["mlp-64-32"] == trained["cnn-4"] > 5
    assert "1 wait for seeds: close (10 seeds of cnn-4, mlp-64-32" in lines.said[1]
    assert "2 of 2 claims decided" in lines.said[-1]
    assert judge_store(store).get("close").n_seeds == trained["cnn-4"]


def test_futile_claim_gets_no_seeds(tmp_path: Path) -> None:
    """A difference at the margin, of nets that hardly vary over seeds: examples decide it, and there are no more."""
    lines, file = Lines(), read_file(tmp_path, EVEN)
    trained = run(DrawnRunner(Store(tmp_path), 0.1, rough=("softmax",)), file, lines)
    assert trained == {"softmax": 5, "mlp-24-16": 5}
    assert "1 open that more seeds would hardly decide" in lines.said[-1]
    judged = judge_store(Store(tmp_path)).get("even")
    assert "would hardly decide it" in judged.decides
    assert judged.bound.endswith("points either way") or "points" in judged.bound


def test_budget_ends_between_trainings_and_the_next_call_goes_on(tmp_path: Path) -> None:
    """No training begins after its end; the same call with time trains only what lacks."""
    store, file = Store(tmp_path), read_file(tmp_path, CLOSE)
    assert run(DrawnRunner(store, 0.8), file, budget_s=0) == {"mlp-64-32": 1}
    assert run(DrawnRunner(store, 0.8), file, budget_s=3) == {"mlp-64-32": 1, "cnn-4": 2}
    again = run(DrawnRunner(store, 0.8), file)
    assert again["cnn-4"] == again["mlp-64-32"] >= 8
    assert run(DrawnRunner(store, 0.8), file) == {}


def test_most_seeds_are_the_users(tmp_path: Path) -> None:
    """No model gets more than the command line allows."""
    file = read_file(tmp_path, CLOSE)
    trained = run(DrawnRunner(Store(tmp_path), 1.0), file, max_seeds=10)
    assert max(trained.values()) <= 10


def test_failed_trainings_are_not_tried_for_ever(tmp_path: Path) -> None:
    """Where one side fails nothing is judged, and the run ends."""
    runner = DrawnRunner(Store(tmp_path), 0.8, broken=("cnn-4",))
    assert run(runner, read_file(tmp_path, CLOSE)) == {"mlp-64-32": 5, "cnn-4": 5}


def test_only_allowed_models_are_trained(tmp_path: Path) -> None:
    """Where the user named models, a claim about another one trains nothing."""
    file = read_file(tmp_path, EASY, CLOSE)
    kept = select_decidable(file, list_allowed(Suite(tasks=("usps",), models=("mlp-64-32", "cnn-4"))))
    assert list(kept) == ["close"]
    assert list(select_decidable(file, None)) == ["easy", "close"]
    assert not is_trainable(Arm("usps", "unheard-of"))
    assert not is_trainable(Arm("usps", "vgg16-c"))  # its images are too small


def test_claims_come_by_decisions_per_second() -> None:
    """The likelier comes first, the cheaper of two alike, and what an arm has already costs nothing."""
    slow = Arm("spect", "vit-c")
    likely = OpenClaim("likely", (FEW, MORE), 5, {10: 0.9, 20: 0.95}, is_primary=False)
    costly = OpenClaim("costly", (slow, MORE), 5, {10: 0.9}, is_primary=False)
    late = OpenClaim("late", (FEW,), 5, {10: 0.0, 20: 0.8}, is_primary=False)
    counts, times = {FEW: 5, MORE: 5, slow: 5}, {FEW: 1.0, MORE: 1.0, slow: 10.0}
    assert likely.compute_rate(counts, times) == pytest.approx(0.9 / 10)
    assert late.compute_rate(counts, times) == pytest.approx(0.8 / 15)
    times[FEW] = times[MORE] = 6.0
    chosen = choose_cells([costly, late, likely], counts, times, n_at_once=1)
    assert {(cell.model, cell.seed_index) for cell in chosen} == {
        (arm.model, index) for arm in (FEW, MORE) for index in range(5, 10)
    }
    everything = choose_cells([costly, late, likely], counts, times, n_at_once=8)
    assert Counter(cell.model for cell in everything) == {"mlp-64-32": 5, "cnn-4": 5, "vit-c": 5}
    assert costly.compute_rate(counts | {MORE: 10}, times) == pytest.approx(0.9 / 50)
    primary = replace(costly, is_primary=True)
    assert primary.compute_rate(counts | {MORE: 10}, times) == pytest.approx(4 * 0.9 / 50)


def test_primary_claims_come_first(tmp_path: Path) -> None:
    """With time for one claim only, the one that answers its family's question gets its first look; then the other."""
    secondary = CLOSE.replace('kind = "non_inferior"', 'kind = "non_inferior"\nrole = "secondary"')
    store, file = Store(tmp_path), read_file(tmp_path, secondary, EVEN)
    assert run(DrawnRunner(store, 0.1), file, budget_s=10) == {"mlp-64-32": 1, "softmax": 5, "mlp-24-16": 5}
    assert run(DrawnRunner(store, 0.1), file, budget_s=9) == {"mlp-64-32": 4, "cnn-4": 5}


def test_claim_before_its_first_look_stays_open(tmp_path: Path) -> None:
    """Two seeds seem to decide it, but nothing is left off before the first look that was planned."""
    store, file = Store(tmp_path), read_file(tmp_path, EASY)
    run(DrawnRunner(store, 0.1), file, budget_s=3)
    assert judge_store(store).get("easy").is_decided
    lines = Lines()
    assert run(DrawnRunner(store, 0.1), file, lines) == {"mlp-64-32": 3, "lecun-1989": 3}
    assert "1 wait for seeds: easy (5 seeds of lecun-1989, mlp-64-32, 50 %)" in lines.said[0]


@pytest.mark.parametrize(("text", "seconds"), [("45m", 2700), ("90s", 90), ("1.5h", 5400), (" 2m ", 120)])
def test_budgets_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "45", "m", "-1m", "1d", "1m30s", "nan"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--budget"):
        parse_duration(text)


def test_claims_without_looks_are_refused(tmp_path: Path) -> None:
    """Seeds until a claim holds would make a wrong one hold."""
    file = read_file(tmp_path, EASY)
    check_looks(file)
    with pytest.raises(UsageError, match="no looks"):
        check_looks(file.model_copy(update={"looks": ()}))


def test_limits_are_the_users_or_the_suites(tmp_path: Path) -> None:
    """Without being asked only a suite with a budget decides; claims without looks refuse, or are left alone."""
    plain, deciding = Suite(tasks=("usps",)), Suite(tasks=("usps",), budget_s=60)

    def choose(suite: Suite, budget_s: float | None = None, *, is_asked: bool = False) -> Limits | None:
        return choose_limits(suite, tmp_path, budget_s, None, is_asked=is_asked, is_named=False)

    assert choose(plain) is None
    assert choose(deciding) == Limits(60, 40)
    assert choose(plain, is_asked=True) == Limits(2700, 40)
    assert choose(deciding, 5, is_asked=True) == Limits(5, 40)
    (tmp_path / "claims.toml").write_text(EASY)
    assert choose(deciding) is None
    with pytest.raises(UsageError, match="no looks"):
        choose(deciding, is_asked=True)
