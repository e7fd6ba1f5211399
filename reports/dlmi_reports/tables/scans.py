"""Scans of a folder: how many are in, by class, group and join, and how many are out, by reason."""

from dlmi_bench.units import format_count
from dlmi_reports.results.load import TaskResults
from dlmi_reports.structure import Table

CAPTION = "Scans of the folder that the data come from: used ones, and those left out with the reason. Nobody is named."


def make_scan_tables(task: TaskResults) -> list[Table]:
    """Make the table of who is in and who is out; none for data that are no folder of scans."""
    scans = task.provenance.data.scans
    if not scans.n_scans:
        return []
    rows = [["used", format_count(scans.n_scans), f"of {format_count(scans.n_subjects)} subjects"]]
    rows += [["subjects", format_count(n), f"class {name}"] for name, n in scans.subjects_by_class.items()]
    rows += [["used", format_count(n), f"group {name}"] for name, n in scans.by_group.items()]
    rows += [["used", format_count(n), f"stage by {name}"] for name, n in scans.stages_joined.items()]
    rows += [["left out", format_count(out.n), out.reason] for out in scans.out]
    return [Table("Scans", CAPTION, ["what", "n", "which, or why"], rows)]
