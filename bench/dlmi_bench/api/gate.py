"""The gate as a function."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.api.answer import Answer

if TYPE_CHECKING:
    from dlmi_bench.gating.output import GateOutcome
    from dlmi_bench.gating.settings import Settings
    from dlmi_bench.jobs.protocol import OnProgress


def gate(
    baseline: str | Path = "baseline",
    *,
    out: str | Path | None = None,
    onnx: Iterable[str | Path] = (),
    test: str | Path | None = None,
    against: str | None = None,
    against_python: str | Path | None = None,
    settings: "str | Path | Settings | None" = None,
    extra_calls: float = 0.0,
    is_quiet: bool = False,
    on_progress: "OnProgress | None" = None,
) -> "Answer[GateOutcome]":
    """Compare models with their baseline, side by side on this machine: slower, less accurate, larger?

    Args:
        baseline: Folder of the baseline.
        out: Results to judge; by default the baseline's weights, exported by today's code.
        onnx, test: Files of your own and their test set (.npz with x and y) to judge instead.
        against: Commit of this project whose code exports and runs the baseline.
        against_python: Interpreter for that commit; one is found or made by default.
        settings: Limits, or the path of a TOML file with them.
        extra_calls: Share by which the candidate is slowed down on purpose, to try the gate.
        is_quiet: Show no progress on standard error.
        on_progress: Called as by `profile`, in place of the lines on standard error.

    Returns:
        The outcome, one verdict a row; `content.exit_code` is that of the command.

    Raises:
        UsageError: the arguments do not fit each other, or the settings are wrong.

    Example:
        >>> import dlmi_bench
        >>> dlmi_bench.gate("no-such-folder").content.exit_code
        12
    """
    from dlmi_bench.gating.gate import run_gate
    from dlmi_bench.gating.output import format_table
    from dlmi_bench.gating.progress import ProgressLines
    from dlmi_bench.gating.settings import Settings, load_settings
    from dlmi_bench.gating.sides.request import GateRequest

    limits = settings if isinstance(settings, Settings) else load_settings(Path(settings) if settings else None)
    run_, test_, python = (Path(path) if path else None for path in (out, test, against_python))
    request = GateRequest(run_, tuple(map(Path, onnx)), test_, against, python, extra_calls)
    with ProgressLines("gate", is_quiet=is_quiet or on_progress is not None) as lines:
        outcome = run_gate(Path(baseline), limits, request, on_progress or lines)
    rows = [{"kind": row.kind, **asdict(row.decision)} for row in outcome.rows]
    return Answer(outcome, rows, format_table(outcome))
