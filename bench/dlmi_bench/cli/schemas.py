"""Schemas of the answers that commands print with --json; `nox -s schema` publishes them in docs/schemas/."""

import json
from pathlib import Path
from typing import Any

from dlmi_bench.cli.answers import (
    BaselineListAnswer,
    BaselineShowAnswer,
    ClaimsAnswer,
    CompareAnswer,
    CountAnswer,
    DataAnswer,
    DoctorAnswer,
    FilesAnswer,
    FirmwareAnswer,
    GateAnswer,
    ImportAnswer,
    JsonAnswer,
    JudgeAnswer,
    ListAnswer,
    LockAnswer,
    MergeAnswer,
    PlanAnswer,
    ProfileAnswer,
    RefereeAnswer,
    RunAnswer,
    StatusAnswer,
    TuneAnswer,
)

# By the words of the command, which are the name of the file.
ANSWERS: dict[str, type[JsonAnswer]] = {
    "baseline-list": BaselineListAnswer,
    "baseline-show": BaselineShowAnswer,
    "claims": ClaimsAnswer,
    "claims-lock": LockAnswer,
    "compare": CompareAnswer,
    "count": CountAnswer,
    "data": DataAnswer,
    "doctor": DoctorAnswer,
    "export": FilesAnswer,
    "firmware": FirmwareAnswer,
    "gate": GateAnswer,
    "import-benchmark": ImportAnswer,
    "judge": JudgeAnswer,
    "list": ListAnswer,
    "merge": MergeAnswer,
    "profile": ProfileAnswer,
    "referee": RefereeAnswer,
    "report": FilesAnswer,
    "run": RunAnswer,
    "run-dry-run": PlanAnswer,
    "status": StatusAnswer,
    "tune": TuneAnswer,
}


def make_schema(command: str) -> dict[str, Any]:
    """Make the JSON Schema of a command's answer; a number that is no number is null in it."""
    schema = ANSWERS[command].model_json_schema(mode="serialization")
    return schema | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"dlmi-bench {command}"}


def write_schemas(folder: Path) -> None:
    """Write the schema of every command, COMMAND.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for command in ANSWERS:
        text = json.dumps(make_schema(command), indent=2) + "\n"
        (folder / f"{command}.json").write_text(text, encoding="utf-8")
