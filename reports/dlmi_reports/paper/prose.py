"""A paragraph of methods for a paper, rendered from the records: seeds, splits, intervals, corrections, machine."""

from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_bench.units import clean_line, format_count
from dlmi_reports.claims.prose import describe_family
from dlmi_reports.page import judge
from dlmi_reports.paper.facts import (
    Source,
    tell_data,
    tell_disjoint,
    tell_partitions,
    tell_selection,
    tell_software,
    tell_start,
)
from dlmi_reports.results.load import Results, make_slug

INTERVALS = (
    "Intervals of accuracies are Wilson 95 % intervals over test examples; differences between models are compared "
    "over trainings and over the same test examples."
)


def write_methods_texts(results: Results, folder: Path) -> list[Path]:
    """Write methods-TASK.txt for every task with a training."""
    verdicts, _ = judge(results, None)
    return [
        write_text(folder / f"methods-{make_slug(task.name)}.txt", format_methods(Source(task, results, verdicts)))
        for task in results.tasks.values()
        if any(task.trainings)
    ]


def format_methods(source: Source) -> str:
    """Format the paragraph; what the records do not hold is left out."""
    facts = (tell_data, tell_partitions, tell_disjoint)
    said = [fact.text for tell in facts if (fact := tell(source))]
    said += [_describe_trainings(source), *_close(source)]
    return clean_line(" ".join(text.rstrip(".") + "." for text in said if text)) + "\n"


def _describe_trainings(source: Source) -> str:
    counts = {model.name: len(model.repeats) for model in source.models}
    if not counts:
        return ""
    names = ", ".join(f"{name} ({format_count(n)})" for name, n in counts.items())
    return f"Trainings of each model, with other seeds, all of which count: {names}"


def _close(source: Source) -> list[str]:
    """Start, selection, statistics, machine and software."""
    facts = (tell_start(source), tell_selection(source))
    machine, kinds = source.origin.machine, source.task.kinds
    where = f"Costs were measured on {machine['cpu']}, {machine.get('n_cpus')} processors" if machine.get("cpu") else ""
    if len(kinds) > 1:
        where = f"Costs were measured on {len(kinds)} kinds of machine, which are never pooled: {'; '.join(kinds)}"
    families = [describe_family(f, source.verdicts) for f in source.verdicts.families if f.n_tested]
    software = tell_software(source)
    versions = f"Software: {software.text.partition(';')[0]}" if software else ""
    return [*(fact.text for fact in facts if fact), INTERVALS, *families, where, versions]
