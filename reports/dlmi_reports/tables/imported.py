"""Results of other tools, in a section of their own. They are shown and never compared."""

from dlmi_bench.records import Figure, Record
from dlmi_bench.units import format_range
from dlmi_reports.structure import Table

COLUMNS = ("model", "backend", "batch", "threads")
LEAD = (
    "Imported with `dlmi-bench import-benchmark`. These figures come from one process, the latencies of this report "
    "from several fresh ones. The two are not comparable, and imported figures are excluded from rankings."
)


def make_import_tables(records: list[Record]) -> list[Table]:
    """One table per file."""
    return [_make_table(record) for record in records]


def _make_table(record: Record) -> Table:
    origin = {name: str(value) for name, value in record.provenance.items() if value}
    places = [origin[name] for name in ("cpu", "taken_at") if name in origin]
    words = [
        f"{what} {origin[name]}" for what, name in (("Python", "python"), ("commit", "taken_commit")) if name in origin
    ]
    caption = (
        f"Median over the rounds of one process; brackets hold the quartiles. Measured by {origin.get('tool', '')}: "
        f"{', '.join(places + words)}. Imported."
    )
    rows = [_make_row(figure) for figure in record.figures]
    return Table(f"Imported: {origin.get('file', '')}", caption, ["benchmark", *COLUMNS, "median", "rounds"], rows)


def _make_row(figure: Figure) -> list[str]:
    identity = [str(figure.conditions.get(name, "")) for name in ("benchmark", *COLUMNS)]
    assert figure.value is not None
    return [*identity, format_range(figure.value, figure.lo, figure.hi, "s"), str(figure.n)]
