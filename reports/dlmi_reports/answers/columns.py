"""Columns of a table of answers: what identifies a case, the truth, what describes it, and the algorithms."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dlmi_bench.errors import UsageError, list_choices
from dlmi_reports.answers.cells import check_name, show
from dlmi_reports.answers.table import AnswerTable

GROUPS = ("group", "patient")
TRAITS = ("site", "sex", "age", "scanner", "fold")  # of a case, by which it can be looked at apart
ANSWER = "prediction"  # column of a file of one algorithm, which is called like its file
NAMES_OF_CLASSES = "class_names"
SPLIT = "split"


@dataclass(frozen=True)
class Reading:
    """How tables are read.

    Attributes:
        case_id, truth: Names of the columns of cases and of their classes.
        group: Column of what is one unit, such as a patient; by default `group` or `patient` where there is one.
        traits: More columns that describe cases; `ignore` are left out.
        missing: For a case without an answer: "refuse", "complete" keeps the cases that all algorithms answered,
            "wrong" counts it as wrong.
        positive: Class that a single column of probabilities is of.
    """

    case_id: str = "case_id"
    truth: str = "ground_truth"
    group: str | None = None
    traits: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    missing: str = "refuse"
    positive: str | None = None


class Algorithm(NamedTuple):
    """An algorithm, and the name of its seed; empty where it has only one."""

    name: str
    seed: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.seed}" if self.seed else self.name


@dataclass
class Columns:
    """Columns of one table by what they hold; of an algorithm, by class, which is empty for a column of its own."""

    group: str | None = None
    traits: list[str] = field(default_factory=list)
    algorithms: dict[Algorithm, dict[str, str]] = field(default_factory=dict)


class Part(NamedTuple):
    """One table with its columns and the cases of its rows."""

    table: AnswerTable
    columns: Columns
    case_ids: list[str]


def sort_columns(table: AnswerTable, reading: Reading) -> Columns:
    """Sort the columns of a table.

    Raises:
        UsageError: a column that is named is missing, or an algorithm has answers of two forms.
        DataError: an algorithm has no name that can be printed.
    """
    names = [name for name in table.columns if name not in (*reading.ignore, NAMES_OF_CLASSES, SPLIT)]
    if reading.case_id not in names:
        raise _miss(table, "--case-id", reading.case_id, names)
    chosen = reading.group if reading.group in names else next((name for name in GROUPS if name in names), None)
    found = Columns(chosen if reading.group in (None, chosen) else None)
    for name in names:
        if name in (*TRAITS, *reading.traits, *GROUPS) and name != found.group:
            found.traits.append(name)
        elif name not in (reading.case_id, reading.truth, found.group):
            algorithm, label = _parse(name, table.stem)
            found.algorithms.setdefault(algorithm, {})[label] = name
    for algorithm, columns in found.algorithms.items():
        check_name(f"{table.source}: column {show(next(iter(columns.values())))}", algorithm.name)
        if "" in columns and len(columns) > 1:
            cause = (
                f"{table.source}: {algorithm} has a column of classes, {columns['']!r}, and columns of probabilities"
            )
            raise UsageError(cause, f"leave one of the two out, for instance --ignore {columns['']}")
    return found


def _parse(name: str, stem: str) -> tuple[Algorithm, str]:
    """Read `net`, `net:class`, `net@seed` or `net@seed:class`."""
    head, _, label = name.partition(":")
    model, _, seed = head.rpartition("@") if "@" in head.strip("@") else (head, "", "")
    model = stem if model.strip() in (ANSWER, "") else model.strip()
    return Algorithm(model, seed.strip()), label.strip()


def check_named(tables: Sequence[AnswerTable], reading: Reading) -> None:
    """Check that every column that an option names is in a table.

    Raises:
        UsageError: one is in none.
    """
    known = list(dict.fromkeys(name for table in tables for name in table.columns))
    named = [("--group", reading.group), *(("--by", name) for name in reading.traits)]
    named += [("--ignore", name) for name in reading.ignore]
    for option, name in named:
        if name is not None and name not in known:
            raise _miss(tables[0], option, name, known)


def _miss(table: AnswerTable, option: str, name: str, known: Sequence[str]) -> UsageError:
    remedy = f"name it with {option}; {list_choices(name, known[:30])}"
    return UsageError(f"{table.source}: no column {name!r}", remedy)
