"""The gate's answer for people and for CI: a table, JSON, JUnit XML, annotations, a step summary."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

from dlmi_bench.gate.settings import Settings
from dlmi_bench.gate.verdicts import WORST_FIRST, Decision, Verdict, compute_exit_code, format_decided
from dlmi_bench.units import escape_markdown

Kind = Literal["latency", "accuracy", "cost"]


@dataclass(frozen=True)
class Row:
    """One decision and what it is about: a ratio of times, a difference of accuracies, or an exact count."""

    kind: Kind
    decision: Decision


@dataclass(frozen=True)
class Outcome:
    """All rows of a gate, with what it was run against and on."""

    rows: tuple[Row, ...]
    baseline: dict[str, Any]
    environment: dict[str, Any]
    settings: Settings
    beside: tuple[str, ...] = ()  # lines that are reported and judge nothing

    @property
    def decisions(self) -> list[Decision]:
        return [row.decision for row in self.rows]

    @property
    def exit_code(self) -> int:
        """As in METHOD.md; rows that only warn do not count, but something has to."""
        return compute_exit_code([d for d in self.decisions if not self.only_warns(d)])

    def only_warns(self, decision: Decision) -> bool:
        """Whether the row passes with a warning: undecided, or disturbed by the machine, as the settings say.

        A failed control excuses no ratio that lies beyond the limit all the same.
        """
        is_open = decision.verdict is Verdict.INCONCLUSIVE and self.settings.inconclusive == "warn"
        is_excused = decision.is_disturbed and not decision.reads_slower and self.settings.disturbed == "warn"
        return is_open or is_excused

    @property
    def summary(self) -> str:
        worst = [f"{n} {verdict}" for verdict in Verdict if (n := sum(d.verdict is verdict for d in self.decisions))]
        n_warnings = sum(self.only_warns(d) for d in self.decisions)
        warned = f" ({n_warnings} not judged: only warnings)" if n_warnings else ""
        return f"{format_decided(self.decisions)}: {', '.join(worst)}{warned}"


HEADER = ["verdict", "benchmark", "change", "interval", "allowed", "why"]


def format_change(row: Row) -> str:
    """Percent for times, points for accuracies; an exact count has its change in the sentence."""
    value = row.decision.estimate
    return "" if value is None else f"{_scale(row, value):+.1f} {_get_unit(row)}"


def format_interval(row: Row) -> str:
    """Bounds in the unit of the change."""
    d = row.decision
    return f"[{_scale(row, d.lo):+.1f}, {_scale(row, d.hi):+.1f}]" if d.lo is not None and d.hi is not None else ""


def _scale(row: Row, value: float) -> float:
    return 100 * (value - 1) if row.kind == "latency" else 100 * value


def _get_unit(row: Row) -> str:
    return "%" if row.kind == "latency" else "points"


def format_cells(row: Row) -> list[str]:
    """As in HEADER. Good rows need no reason: their figures say it."""
    d = row.decision
    limit = "" if d.tau is None else f"{100 * d.tau:g} {_get_unit(row)}"
    why = "; ".join([d.why, *d.notes]) if d.verdict.exit_code or row.kind == "cost" else "; ".join(d.notes)
    return [d.verdict.value, d.name, format_change(row), format_interval(row), limit, why]


def print_table(outcome: Outcome) -> None:
    """Bad news on top, then what was measured; reasons below, what is unchanged in a line, the sum of it all last."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in HEADER[:-1]:
        table.add_column(name, overflow="fold", no_wrap=name != "benchmark")
    styles = {Verdict.REGRESSED: "red", Verdict.INVALID: "magenta", Verdict.INCOMPARABLE: "magenta"}
    for row in _list_shown(outcome):
        style = styles.get(row.decision.verdict, "yellow" if not row.decision.verdict.is_decided else "")
        table.add_row(*format_cells(row)[:-1], style=style)
    console = Console(markup=False, highlight=False)
    if table.row_count:
        console.print(table)
    for line in [*_list_reasons(outcome), *_list_unchanged(outcome), *outcome.beside]:
        console.print(line, soft_wrap=False)
    console.print(f"{outcome.summary}; exit code {outcome.exit_code}", style="bold")


def _list_reasons(outcome: Outcome) -> list[str]:
    """Why each row that is not simply good is what it is."""
    return [f"{row.decision.name}: {why}" for row in _list_shown(outcome) if (why := format_cells(row)[-1])]


def _list_unchanged(outcome: Outcome) -> list[str]:
    """For instance "SAME in counts, operators: usps/softmax, usps/cnn-4"."""
    models: dict[str, list[str]] = {}
    for row in outcome.rows:
        if row.decision.verdict is Verdict.SAME:
            model, _, aspect = row.decision.name.partition(" ")
            models.setdefault(aspect, []).append(model)
    aspects: dict[str, list[str]] = {}
    for aspect, names in models.items():
        aspects.setdefault(", ".join(names), []).append(aspect)
    return [f"SAME in {', '.join(found)}: {names}" for names, found in aspects.items()]


def _list_shown(outcome: Outcome) -> list[Row]:
    """What deserves a row of its own: all but the unchanged."""
    return [row for row in sort_rows(outcome.rows) if row.decision.verdict is not Verdict.SAME]


def sort_rows(rows: Sequence[Row]) -> list[Row]:
    """The worst first, otherwise as they came."""
    return sorted(rows, key=lambda row: WORST_FIRST.index(row.decision.verdict.exit_code))


def to_json(outcome: Outcome) -> dict[str, Any]:
    rows = [{"kind": row.kind, **asdict(row.decision)} for row in outcome.rows]
    head = {"exit_code": outcome.exit_code, "summary": outcome.summary, "beside": list(outcome.beside)}
    return {**head, "decisions": rows, "baseline": outcome.baseline, "environment": outcome.environment}


def write_junit(outcome: Outcome, path: Path) -> None:
    """What could not be judged is an error, what only warns is skipped with its reason, all else not good a failure."""
    errors = (Verdict.INVALID, Verdict.INCOMPARABLE)
    suite = ET.Element("testsuite", name="dlmi-gate", tests=str(len(outcome.rows)))
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for row in outcome.rows:
        case = ET.SubElement(suite, "testcase", classname=f"dlmi-gate.{row.kind}", name=row.decision.name)
        if row.decision.verdict.exit_code:
            tag = "error" if row.decision.verdict in errors else "failure"
            tag = "skipped" if outcome.only_warns(row.decision) else tag
            counts[tag] += 1
            ET.SubElement(case, tag, message=f"{row.decision.verdict}: {row.decision.why}")
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def format_annotations(outcome: Outcome) -> list[str]:
    """GitHub workflow commands: an error or a warning for each row that is not well."""
    lines = []
    for row in sort_rows(outcome.rows):
        d = row.decision
        if d.verdict.exit_code == 0:
            continue
        level = "warning" if outcome.only_warns(d) else "error"
        title = _escape(f"{d.verdict} {d.name}", ":,")
        lines.append(f"::{level} title={title}::{_escape(d.why)}")
    return lines


def _escape(text: str, more: str = "") -> str:
    """As GitHub's runner unescapes it: percent, line breaks, and in properties also colon and comma."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def format_summary(outcome: Outcome) -> str:
    """A Markdown table for a step summary or a pull request; what is unchanged in a line below."""
    lines = [f"### Gate: {outcome.summary}", "", "| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    lines += ["| " + " | ".join(map(escape_markdown, format_cells(row))) + " |" for row in _list_shown(outcome)]
    machine = outcome.environment.get("machine", {})
    made = f"Baseline of {outcome.baseline.get('created')}: {outcome.baseline.get('reason')}."
    notes = [*_list_unchanged(outcome), f"{made} Run on {machine.get('cpu')}.", *outcome.beside]
    lines += ["", *(f"- {escape_markdown(note)}" for note in notes)]
    return "\n".join(lines) + "\n"
