"""Study files: models, tasks, suite and claims of the user's in one Python file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlmi_bench.errors import UsageError
from dlmi_bench.files import decode_text, write_text
from dlmi_bench.jobs import plugins, source_files
from dlmi_bench.stats.looks import LOOKS
from dlmi_bench.suite.suites import Suite
from dlmi_models.own import Model, as_model
from dlmi_tasks.spec import Task

CLAIMS_FILE = "claims.toml"  # in the folder of results: the claims that its reports judge
LOOKS_LINE = f"looks = {list(LOOKS)}\n"
DEFAULT = "# Default questions: each run rewrites them. Remove this line to keep what you change.\n"


@dataclass(frozen=True)
class StudyFile:
    """What a file of the user's asks for.

    Attributes:
        own: Names of its models, in its order.
        claims: File of claims; None where it states none.
    """

    suite: Suite
    own: tuple[str, ...]
    claims: Path | None = None

    def keep_claims(self, out: Path, *, has_looks: bool = False) -> None:
        """Put the claims where reports look for them: the stated ones, or default questions about the first model.

        Args:
            has_looks: Whether seeds will be added until the default questions are decided.

        Raises:
            UsageError: the file of claims is wrong.
        """
        if self.claims:
            from dlmi_reports.claims.file import load_claims

            load_claims(self.claims)  # a mistake is said before anything is trained
            write_text(out / CLAIMS_FILE, decode_text(self.claims.read_bytes()))
            return
        kept = decode_text(path.read_bytes()) if (path := out / CLAIMS_FILE).exists() else DEFAULT
        if kept.startswith(DEFAULT):  # seeds that were added once have to be paid for ever after
            head = LOOKS_LINE if has_looks or LOOKS_LINE in kept else ""
            _write_default_claims(out, self.suite.tasks, self.own, DEFAULT + head)


def load_study(path: Path) -> StudyFile:
    """Run a file of the user's, and let its MODELS and TASKS join the registries.

    Raises:
        UsageError: the file raised, or one of MODELS, TASKS, SUITE and CLAIMS is not what it should be.
    """
    name = source_files.adopt_file(path)
    module = source_files.import_file(name)
    models, tasks = (_read_table(path, module, table) for table in ("MODELS", "TASKS"))
    if not models and not tasks:
        raise UsageError(f"{path}: no MODELS and no TASKS", "say MODELS = {...} or TASKS = {...}; see dlmi-bench init")
    for key, value in models.items():
        plugins.adopt_model(key, _place(name, key, value))
    for key, task in tasks.items():
        if not isinstance(task, Task) and not callable(task):
            raise UsageError(f"{path}: TASKS[{key!r}] is a {type(task).__name__}", "make it by Task.from_npz or so")
        plugins.adopt_task(key, name)
    suite = getattr(module, "SUITE", None) or Suite()
    if not isinstance(suite, Suite):
        raise UsageError(f"{path}: SUITE is a {type(suite).__name__}", "write SUITE = dlmi_bench.Suite(n_seeds=5)")
    claims = path.parent / module.CLAIMS if getattr(module, "CLAIMS", None) else None
    if claims and not claims.is_file():
        raise UsageError(f"{path}: CLAIMS names {claims}, which is no file", "write it, or leave CLAIMS out")
    said = suite.model_fields_set
    update = {
        "name": suite.name if "name" in said else path.stem,
        **({} if "tasks" in said or not tasks else {"tasks": tuple(tasks)}),
        **({} if "models" in said or not models else {"models": tuple(models)}),
    }
    return StudyFile(suite.model_copy(update=update), tuple(models), claims)


def _read_table(path: Path, module: object, table: str) -> dict[str, Any]:
    found = getattr(module, table, {})
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"{path}: {table} is no dictionary by name", f'write {table} = {{"mine": ...}}')
    return found


def _place(module: str, name: str, value: object) -> "plugins.Place | Model":
    """Say where workers find a model of this module's MODELS.

    Raises:
        UsageError: it is no model.
    """
    if isinstance(value, str) and not value.endswith(".onnx"):
        return plugins.find_model(value)
    as_model(value, name)
    return plugins.Place(module, name)


def _write_default_claims(out: Path, tasks: Iterable[str], models: tuple[str, ...], head: str) -> None:
    from dlmi_reports.claims.defaults import make_default_claims

    named = list(tasks)
    parts = [make_default_claims(t, models[0], list(models[1:]), prefix=t if len(named) > 1 else "") for t in named]
    if text := "\n".join(filter(None, parts)) if models else "":
        write_text(out / CLAIMS_FILE, head + text)
