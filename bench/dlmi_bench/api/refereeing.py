"""The referee as a function: train models by their recipes alone, on data in disguise, and check the files."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.api.answer import Answer
from dlmi_bench.errors import UsageError, require

if TYPE_CHECKING:
    from dlmi_bench.refereeing.session import Refereed


def referee(
    models: Iterable[str],
    task: str = "usps",
    *,
    n_seeds: int = 5,
    margin: float = 0.02,
    nonce: str | None = None,
    out: str | Path = "out",
    is_quiet: bool = False,
) -> "Answer[Refereed]":
    """Train models by their recipes alone, with seeds and a disguise of the data that no recipe knows; check the files.

    Args:
        models: Names of registered models, `package.module:factory` or `FILE.py:factory`.
        task: Name of a registered task; those of a study file are registered by `dlmi-bench referee STUDY.py`.
        n_seeds: Trainings of each model in disguise, and as many plain ones.
        margin: Accuracy that a model may lose in disguise, a fraction.
        nonce: That of an earlier run, to resume or repeat it; by default one is drawn.
        out: Folder of the results; what is there and still holds is kept.
        is_quiet: Show no progress on standard error.

    Returns:
        The checks of each model; one row for each check.

    Raises:
        UsageError: a name, the nonce, the margin or the number of seeds is wrong, or a model is finished weights.
        UnavailableError: torch is not installed, a model lives in this process alone, or the data have no disguise.
        DataError, FetchError: the data cannot be had.

    Example:
        >>> import dlmi_bench
        >>> answer = dlmi_bench.referee(["softmax"], n_seeds=2, out=f"{out}-refereed", is_quiet=True)
        >>> answer.to_dataframe().query("check == 'seeds'")["verdict"].tolist()
        ['passed']
    """
    require("torch", "training")
    from rich.console import Console

    from dlmi_bench.jobs.plugins import adopt_model, find_model, load_entry_points
    from dlmi_bench.refereeing.session import MIN_SEEDS, referee_models
    from dlmi_bench.refereeing.text import format_refereed, list_rows
    from dlmi_bench.store import Store
    from dlmi_bench.suite.display import RunDisplay

    if n_seeds < MIN_SEEDS:
        raise UsageError(f"{n_seeds} seeds", f"ask for {MIN_SEEDS} or more: one training has no spread")
    if not 0 < margin < 1:
        raise UsageError(f"margin {margin:g}", "use a fraction above 0, for instance 0.02 for two points")
    load_entry_points()
    names = list(dict.fromkeys(models))
    if not names:
        raise UsageError("no models", 'name some: ["mlp-64-32", "net.py:make_net"]')
    for name in names:
        adopt_model(name, find_model(name))
    store = Store(Path(out))
    try:
        with RunDisplay(Console(stderr=True, quiet=is_quiet)) as display:
            found = referee_models(names, task, store, display, n_seeds=n_seeds, margin=margin, nonce=nonce or "")
    finally:
        store.close()
    return Answer(found, list_rows(found), format_refereed(found))
