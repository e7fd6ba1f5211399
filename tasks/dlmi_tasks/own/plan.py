"""Plan of the splits: which examples each training learns from, looks at, and is judged by."""

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.own.dealing import deal
from dlmi_tasks.own.examples import Examples
from dlmi_tasks.own.options import Options
from dlmi_tasks.spec import SPLIT_SEED, Folds, Labels

PARTS = ("train", "validation", "test")

Index = NDArray[np.intp]


class Cut(NamedTuple):
    """Positions of the examples of each split."""

    train: Index
    validation: Index
    test: Index


@dataclass(frozen=True)
class Plan:
    """How examples are split; the same for all models.

    Attributes:
        examples: What is split.
        n_folds: Trainings of one seed, each of which tests on another fold; 1 without folds.
        is_held_out_site: Whether a fold is a site.
        test_share: Share of the examples to test on, without folds or a given split.
        validation_share: Share of the others to validate on.
    """

    examples: Examples
    n_folds: int
    is_held_out_site: bool
    test_share: float
    validation_share: float
    _cuts: dict[int, Cut] = field(default_factory=dict, repr=False, compare=False)

    def cut(self, index: int = 0) -> Cut:
        """Splits of training number `index`, which counts all folds of repeat 0, then those of repeat 1, and so on.

        Raises:
            DataError: a class is missing in a split that needs it.
        """
        index = index if self.n_folds > 1 else 0
        if index not in self._cuts:
            self._cuts[index] = self._make_cut(index)
        return self._cuts[index]

    def _make_cut(self, index: int) -> Cut:
        is_test = self._find_test(index)
        given = self.examples.split
        if given is not None and (given == "validation").any():
            is_validation = given == "validation"
        else:
            is_validation = self._draw(~is_test, self.validation_share, [SPLIT_SEED, 1, index])
        cut = Cut(*(np.flatnonzero(part) for part in (~is_test & ~is_validation, is_validation, is_test)))
        self._check(cut, index)
        return cut

    def _find_test(self, index: int) -> NDArray[np.bool_]:
        examples = self.examples
        if examples.split is not None:
            return examples.split == "test"
        repeat, fold = divmod(index, self.n_folds)
        if self.is_held_out_site:
            assert examples.sites is not None
            return examples.sites == np.unique(examples.sites)[fold]
        if self.n_folds > 1:
            return self.deal_folds(repeat) == fold
        return self._draw(np.ones(len(examples.labels), bool), self.test_share, [SPLIT_SEED, 0])

    def find_tested(self) -> Index:
        """Positions of the examples that some training tests: all of them with folds."""
        return np.arange(len(self.examples.labels)) if self.n_folds > 1 else self.cut().test

    def deal_folds(self, repeat: int) -> Labels:
        """Fold of each example; each repeat is another partition."""
        shares = np.full(self.n_folds, 1 / self.n_folds)
        return deal(self.examples.labels, self.examples.groups, shares, np.random.default_rng([SPLIT_SEED, 0, repeat]))

    def _draw(self, pool: NDArray[np.bool_], share: float, seed: list[int]) -> NDArray[np.bool_]:
        """Draw a share of the pool, stratified, with whole groups."""
        groups = None if self.examples.groups is None else self.examples.groups[pool]
        part = deal(self.examples.labels[pool], groups, np.array([share, 1 - share]), np.random.default_rng(seed))
        drawn = np.zeros(len(pool), bool)
        drawn[pool] = part == 0
        return drawn

    def _check(self, cut: Cut, index: int) -> None:
        """Every class is learnt from and, without folds, tested; a fold may lack one, as a site does."""
        names, has_folds = self.examples.class_names, self.n_folds > 1
        for part, positions in zip(PARTS, cut, strict=True):
            counts = np.bincount(self.examples.labels[positions], minlength=len(names))
            if len(positions) == 0 or (not counts.all() and not (has_folds and part != "train")):
                what = f"training {index}: {part}" if has_folds else part
                missing = f"class {names[int(counts.argmin())]!r} has no example in the split {what!r}"
                raise DataError(f"{self.examples.where}: {missing}", self._choose_remedy())

    def _choose_remedy(self) -> str:
        if self.examples.split is not None:
            return "give every split examples of every class, or drop split to have it drawn"
        unit = "examples" if self.examples.groups is None else "groups"
        return f"add {unit} of it; training, validation and test need one each"

    def place(self, index: int) -> Folds | None:
        """Place of a training among the folds."""
        if self.n_folds == 1:
            return None
        repeat, fold = divmod(index, self.n_folds)
        by = "site" if self.is_held_out_site else "example" if self.examples.groups is None else "group"
        return Folds(n_folds=self.n_folds, fold=fold, repeat=repeat, by=by, is_held_out_site=self.is_held_out_site)

    def describe(self) -> str:
        """How the splits are made, in a sentence."""
        kept = "" if self.examples.groups is None else ", whole groups"
        rest = f"validation is {100 * self.validation_share:g} % of the others, drawn by class{kept}"
        if self.examples.split is not None:
            has_own = (self.examples.split == "validation").any()
            return "as handed over" if has_own else f"test as handed over; {rest}"
        if self.is_held_out_site:
            return f"each training tests on one of {self.n_folds} sites; {rest}"
        if self.n_folds > 1:
            return f"{self.n_folds} folds, drawn by class{kept}; {rest}"
        return f"test is {100 * self.test_share:g} % of all, drawn by class{kept}; {rest}"


def make_plan(examples: Examples, options: Options) -> Plan:
    """Plan for these examples.

    Raises:
        DataError: a group is on both sides of a border, or there are fewer of them than folds.
    """
    n_folds = options["n_folds"] or 1
    if options["held_out_sites"]:
        assert examples.sites is not None
        n_folds = len(np.unique(examples.sites))
        _check_apart(examples, "sites", examples.sites, "give each group one site, or drop groups")
        if n_folds < 2:
            raise DataError(f"{examples.where}: there is one site", "use images of two sites or more, or n_folds=")
    elif examples.split is not None:
        _check_apart(examples, "splits", examples.split, "keep each group in one split, or drop split to have it drawn")
    else:
        units = len(examples.labels) if examples.groups is None else len(np.unique(examples.groups))
        kind = "images" if examples.groups is None else "groups"
        if units < n_folds:
            raise DataError(f"{examples.where}: {units} {kind} for {n_folds} folds", f"use n_folds={units} or fewer")
    return Plan(
        examples=examples,
        n_folds=n_folds,
        is_held_out_site=options["held_out_sites"],
        test_share=options["test_share"],
        validation_share=options["validation_share"],
    )


def _check_apart(examples: Examples, what: str, sides: NDArray[Any], remedy: str) -> None:
    """Raises DataError where one group is on two sides."""
    if examples.groups is None:
        return
    for a, b in combinations(np.unique(sides), 2):
        shared = np.intersect1d(examples.groups[sides == a], examples.groups[sides == b])
        if len(shared):
            raise DataError(f"{examples.where}: group {str(shared[0])!r} is in the {what} {a} and {b}", remedy)
