"""Whole studies of known truth: three models, seeds that are added where they may decide, six claims on them.

Answers are drawn like those of `answers`: the same examples are hard for all models and seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.selftest import answers
from dlmi_bench.selftest.answers import Floats, Generator
from dlmi_bench.stats.looks import LOOKS
from dlmi_reports.claims.correction import CorrectedTest, correct_family
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.file import ClaimFile
from dlmi_reports.claims.looks import FUTILE, Course, follow
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.answers import Answers
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.model import ModelResults

MOST = LOOKS[-1]
TASK = "usps"  # in name only: the arms of a claim are looked up among the tasks
PLAIN, ARM, RIVAL = "softmax", "softmax+arm", "mlp-24-16"
ACCURACIES = {PLAIN: 0.94, ARM: 0.96, RIVAL: 0.95}
EPOCHS = {PLAIN: 24.0, ARM: 20.0}  # to the target; the log varies by EPOCHS_SD from seed to seed
EPOCHS_SD = 0.15


@dataclass(frozen=True)
class Setting:
    """What is drawn in a study.

    Attributes:
        seed_sd: Standard deviation of the accuracy over seeds, of which an arm shares its control's.
    """

    n_examples: int = 500
    seed_sd: float = 0.012


@dataclass(frozen=True)
class Outcome:
    """A study when it ended: the looks at each claim, their tests, and the seeds of each model."""

    file: ClaimFile
    courses: Mapping[str, Course]
    tests: Mapping[str, CorrectedTest]
    counts: Mapping[str, int]


class DrawnEvidence(Evidence):
    """Evidence of drawn answers instead of files."""

    def __init__(self, results: Results, tables: Mapping[str, Floats], n_seeds: int | None = None) -> None:
        super().__init__(results, n_seeds=n_seeds)
        self.results, self.tables, self._n = results, tables, n_seeds

    def look_back(self, n_seeds: int) -> "DrawnEvidence":
        return DrawnEvidence(self.results, self.tables, n_seeds)

    def read_table(self, claim: OnTask, metric: str, model: str = "", task: str = "") -> Answers:
        name = model or claim.model
        table = self.tables[name][: self._n]
        return Answers(table, np.zeros(table.shape[1]), list_seeds(name)[: len(table)])


@cache
def list_seeds(model: str) -> tuple[int, ...]:
    """List the seeds of a model; an arm has those of its control."""
    return tuple(Cell(kind="train", task=TASK, model=model, seed_index=index).seed for index in range(MOST))


def draw_evidence(rng: Generator, setting: Setting) -> DrawnEvidence:
    """Draw all seeds that a study can have."""
    luck = rng.normal(0, setting.seed_sd, (2, MOST))
    own = {PLAIN: luck[0], ARM: luck[0], RIVAL: luck[1]}
    tables = {
        name: answers.draw_table(rng, ease, np.clip(ACCURACIES[name] + own[name], 0.01, 0.999))
        for ease, name in zip(answers.draw_ease(rng, 3, setting.n_examples), own, strict=True)
    }
    models = {name: ModelResults(name, draw_trainings(rng, name)) for name in own}
    return DrawnEvidence(Results({TASK: TaskResults(TASK, models)}, [], [], []), tables)


def draw_trainings(rng: Generator, model: str) -> list[Record]:
    """Draw the epochs to the target of each training."""
    epochs = EPOCHS.get(model, 20.0) * np.exp(rng.normal(0, EPOCHS_SD, MOST))
    return [_fill(template, float(n)) for template, n in zip(_list_templates(model), epochs, strict=True)]


@cache
def _list_templates(model: str) -> tuple[Record, ...]:
    figure = Figure(name="epochs_to_target", value=1.0, kind="measured", source="simulation")
    cells = (Cell(kind="train", task=TASK, model=model, seed_index=index) for index in range(MOST))
    return tuple(Record(cell=cell, figures=(figure,)) for cell in cells)


def _fill(template: Record, epochs: float) -> Record:
    (figure,) = template.figures
    return template.model_copy(update={"figures": (figure.model_copy(update={"value": epochs}),)})


def list_tested(file: ClaimFile) -> dict[str, OnTask]:
    return {claim.id: claim for claim in file.claim if isinstance(claim, OnTask)}


def follow_all(file: ClaimFile, evidence: Evidence) -> dict[str, Course]:
    """Look at every claim at each number of seeds."""
    return {name: follow(claim, evidence, LOOKS) for name, claim in list_tested(file).items()}


def cut(course: Course, n_seeds: int) -> Course:
    """Return the looks that there were with so many seeds: what a store with no more would give."""
    looks = tuple(look for look in course.looks if look.n_seeds <= n_seeds)
    return replace(course, looks=looks, later=tuple(n for n in LOOKS if n > n_seeds)) if looks else course


def run_study(file: ClaimFile, courses: Mapping[str, Course]) -> Outcome:
    """Add seeds claim by claim, the likeliest first, until none is open that more of them may decide."""
    claims = list_tested(file)
    counts = {model: LOOKS[0] for claim in claims.values() for _, model in claim.list_arms()}
    while True:
        seen = {name: min(counts[model] for _, model in claim.list_arms()) for name, claim in claims.items()}
        so_far = {name: cut(courses[name], n_seeds) for name, n_seeds in seen.items()}
        tests = correct_family([*claims.values()], so_far, file.alpha)
        chances = {name: so_far[name].list_chances(test.now) for name, test in tests.items() if not test.is_decided}
        likely = {name: max(found.values(), default=0.0) for name, found in chances.items()}
        first = max(likely, key=lambda name: likely[name], default="")
        if not first or likely[first] < FUTILE:
            return Outcome(file, so_far, tests, counts)
        for _, model in claims[first].list_arms():
            counts[model] = max(counts[model], min(chances[first]))
