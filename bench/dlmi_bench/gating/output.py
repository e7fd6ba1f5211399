"""The gate's answer for people and for CI: a table, JSON, JUnit XML, annotations, a step summary."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

from pydantic import JsonValue

from dlmi_bench.files import write_text
from dlmi_bench.gating.settings import Settings
from dlmi_bench.gating.verdicts import WORST_FIRST, Decision, Verdict, compute_exit_code, format_decided
from dlmi_bench.units import clean_all, clean_line, escape_markdown

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1  # of the JSON
WIDTH = 80  # columns
COLONS = re.compile(":(?=:)")
Kind = Literal["latency", "accuracy", "cost"]


@dataclass(frozen=True)
class VerdictRow:
    """One decision and its kind: a ratio of times, a difference of accuracies, or an exact count."""

    kind: Kind
    decision: Decision

    @property
    def is_unchanged(self) -> bool:
        """True where there is nothing to show but that nothing changed."""
        return self.decision.verdict is Verdict.SAME and not self.decision.notes


@dataclass(frozen=True)
class GateOutcome:
    """All rows of a gate, with its baseline, machine and settings."""

    rows: tuple[VerdictRow, ...]
    baseline: dict[str, JsonValue]
    environment: dict[str, JsonValue]
    settings: Settings
    beside: tuple[str, ...] = ()  # lines that are reported and decide nothing

    def __post_init__(self) -> None:
        """Clean all text once, whatever writes it later: names and reasons come from files of others."""
        for name in ("rows", "baseline", "environment", "beside"):
            object.__setattr__(self, name, clean_all(getattr(self, name), _clean))

    @property
    def decisions(self) -> list[Decision]:
        return [row.decision for row in self.rows]

    @property
    def exit_code(self) -> int:
        """Exit code, by the table in docs/gate.md. Rows that only warn do not count, but at least one row must."""
        return compute_exit_code([d for d in self.decisions if not self.only_warns(d)])

    def only_warns(self, decision: Decision) -> bool:
        """Return True where the settings let an undecided or disturbed row pass with a warning.

        A failed control does not excuse a ratio whose interval lies beyond the limit.
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

    @property
    def warning(self) -> str:
        """Warning that a gate which lets the change through judged no latency; empty otherwise."""
        timed = [row.decision for row in self.rows if row.kind == "latency"]
        if self.exit_code or any(decision.verdict.is_decided for decision in timed):
            return ""
        return f"no latency was judged ({len(timed)} without a verdict): this gate says nothing about speed"


def _clean(text: str) -> str:
    """Text in one line that stays no command to a CI runner where a table or the terminal breaks it."""
    return COLONS.sub(": ", clean_line(text))


HEADER = ["verdict", "benchmark", "change", "interval", "allowed", "why"]


def format_change(row: VerdictRow) -> str:
    """Change in percent for times, in points for accuracies; empty for an exact count, whose reason states it."""
    value = row.decision.estimate
    return "" if value is None else f"{_scale(row, value):+.1f} {_get_unit(row)}"


def format_interval(row: VerdictRow) -> str:
    """Bounds of the change, in its unit."""
    d = row.decision
    return f"[{_scale(row, d.lo):+.1f}, {_scale(row, d.hi):+.1f}]" if d.lo is not None and d.hi is not None else ""


def _scale(row: VerdictRow, value: float) -> float:
    return 100 * (value - 1) if row.kind == "latency" else 100 * value


def _get_unit(row: VerdictRow) -> str:
    return "%" if row.kind == "latency" else "points"


def format_cells(row: VerdictRow) -> list[str]:
    """Cells of a row in the order of HEADER. Good rows have no reason: their figures are enough."""
    d = row.decision
    limit = "" if d.tau is None else f"{100 * d.tau:g} {_get_unit(row)}"
    why = "; ".join([d.why, *d.notes]) if d.verdict.exit_code or row.kind == "cost" else "; ".join(d.notes)
    return [d.verdict.value, d.name, format_change(row), format_interval(row), limit, why]


def format_table(outcome: GateOutcome) -> str:
    """Format what `print_table` prints, without colours, WIDTH columns wide."""
    from rich.console import Console

    text = StringIO()
    print_table(outcome, Console(file=text, width=WIDTH, markup=False, highlight=False))
    return text.getvalue().rstrip()


def print_table(outcome: GateOutcome, console: "Console | None" = None) -> None:
    """Print the rows, the worst first, then the reasons, the unchanged models and the summary."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in HEADER[:-1]:
        table.add_column(name, overflow="fold", no_wrap=name != "benchmark")
    styles = {Verdict.REGRESSED: "red", Verdict.INVALID: "magenta", Verdict.INCOMPARABLE: "magenta"}
    for row in _list_shown(outcome):
        style = styles.get(row.decision.verdict, "yellow" if not row.decision.verdict.is_decided else "")
        table.add_row(*format_cells(row)[:-1], style=style)
    console = console or Console(markup=False, highlight=False)
    if table.row_count:
        console.print(table)
    for line in [*_list_reasons(outcome), *_list_unchanged(outcome), *outcome.beside]:
        console.print(line, soft_wrap=False)
    if outcome.warning:
        console.print(f"WARNING: {outcome.warning}", style="bold yellow")
    console.print(f"{outcome.summary}; exit code {outcome.exit_code}", style="bold")


def _list_reasons(outcome: GateOutcome) -> list[str]:
    """Reason of each row that is not simply good."""
    return [f"{row.decision.name}: {why}" for row in _list_shown(outcome) if (why := format_cells(row)[-1])]


def _list_unchanged(outcome: GateOutcome) -> list[str]:
    """List unchanged models by aspect, for instance "SAME in counts, operators: usps/softmax, usps/cnn-4"."""
    models: dict[str, list[str]] = {}
    for row in outcome.rows:
        if row.is_unchanged:
            model, _, aspect = row.decision.name.partition(" ")
            models.setdefault(aspect, []).append(model)
    aspects: dict[str, list[str]] = {}
    for aspect, names in models.items():
        aspects.setdefault(", ".join(names), []).append(aspect)
    return [f"SAME in {', '.join(found)}: {names}" for names, found in aspects.items()]


def _list_shown(outcome: GateOutcome) -> list[VerdictRow]:
    """Rows of the table: all but the unchanged."""
    return [row for row in sort_rows(outcome.rows) if not row.is_unchanged]


def sort_rows(rows: Sequence[VerdictRow]) -> list[VerdictRow]:
    """Sort rows, the worst first, otherwise in their given order."""
    return sorted(rows, key=lambda row: WORST_FIRST.index(row.decision.verdict.exit_code))


def to_json(outcome: GateOutcome) -> dict[str, object]:
    """Convert the outcome to plain JSON, with the settings: limits, allowances and their reasons."""
    return {
        "schema_version": SCHEMA_VERSION,
        "exit_code": outcome.exit_code,
        "summary": outcome.summary,
        "warning": outcome.warning,
        "beside": list(outcome.beside),
        "decisions": [{"kind": row.kind, **asdict(row.decision)} for row in outcome.rows],
        "baseline": outcome.baseline,
        "environment": outcome.environment,
        "settings": clean_all(outcome.settings.model_dump(mode="json", exclude_none=True), _clean),
    }


def write_junit(outcome: GateOutcome, path: Path) -> None:
    """Write JUnit XML: an error where nothing could be judged, skipped where a row only warns, else pass or failure."""
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
        if row.decision.notes:
            ET.SubElement(case, "system-out").text = "\n".join(row.decision.notes)
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    write_text(path, ET.tostring(suite, encoding="unicode", xml_declaration=True))


def format_annotations(outcome: GateOutcome) -> list[str]:
    """Format GitHub workflow commands: an error or a warning for each row that is not good, and for the whole gate."""
    lines = [f"::warning title=No latency was judged::{_escape(outcome.warning)}"] if outcome.warning else []
    for row in sort_rows(outcome.rows):
        d = row.decision
        if d.verdict.exit_code == 0:
            continue
        level = "warning" if outcome.only_warns(d) else "error"
        title = _escape(f"{d.verdict} {d.name}", ":,")
        lines.append(f"::{level} title={title}::{_escape(d.why)}")
    return lines


def _escape(text: str, more: str = "") -> str:
    """Escape text for GitHub's runner: percent, line breaks, and in properties also colon and comma."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def format_summary(outcome: GateOutcome) -> str:
    """Format a Markdown table for a step summary or a pull request, with the unchanged models in a line below."""
    lines = [f"> [!WARNING]\n> {escape_markdown(outcome.warning)}\n"] if outcome.warning else []
    lines += [f"### Gate: {outcome.summary}", "", "| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    lines += ["| " + " | ".join(map(escape_markdown, format_cells(row))) + " |" for row in _list_shown(outcome)]
    machine = outcome.environment.get("machine")
    cpu = machine.get("cpu") if isinstance(machine, dict) else None
    made = f"Baseline of {outcome.baseline.get('created')}: {outcome.baseline.get('reason')}."
    notes = [*_list_unchanged(outcome), f"{made} Run on {cpu}.", *outcome.beside]
    lines += ["", *(f"- {escape_markdown(note)}" for note in notes)]
    return "\n".join(lines) + "\n"
