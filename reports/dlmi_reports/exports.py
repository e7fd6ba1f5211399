"""The results for other people's tools: long form, model cards, ML-BOM, energy reports; one file per task and model."""

from collections.abc import Callable
from pathlib import Path

from dlmi_reports.boamps import write_boamps
from dlmi_reports.card import write_cards
from dlmi_reports.load import Results
from dlmi_reports.longform import write_csv, write_jsonl, write_parquet
from dlmi_reports.mlbom import write_mlboms

EXPORTS: dict[str, Callable[[Results, Path], list[Path]]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
    "boamps": write_boamps,
    "mlbom": write_mlboms,
    "model-card": write_cards,
}
