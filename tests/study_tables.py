"""Small tables of the study for tests, as text or workbook, with subjects that nobody is."""

from pathlib import Path
from typing import Any

import openpyxl

from dlmi_tasks.spect.tables.records import Tables

STAGES = "PATNO,EVENT_ID,INFODT,NHY"
REGIONS = ("CAUDATE_L", "CAUDATE_R", "PUTAMEN_L", "PUTAMEN_R")


def write(folder: Path, name: str, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
    return path


def write_book(folder: Path, name: str = "book.xlsx", **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(folder / name)
    return folder / name


def list_reasons(tables: Tables) -> str:
    return "\n".join(f"{problem.where}: {problem.reason}" for problem in tables.problems)
