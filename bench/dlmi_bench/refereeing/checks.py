"""Checks of one model: each says passed, FOUND or undecided, and what that rests on."""

from collections.abc import Iterable, Sequence
from typing import Literal

from dlmi_bench.records import Plain
from dlmi_bench.refereeing.protocol import Contents, Fresh, TrainedFile
from dlmi_bench.stats.estimates import SEEDS, Mean
from dlmi_bench.units import format_count, format_quantity

ALPHA = 0.05  # of each one-sided test; the interval that is shown holds both, at 90 %
MAX_DATA_BYTES = 1 << 16  # of strings, numbers and comments in the source of a model
MAX_SHOWN = 3  # files or names in a line
NORMALISED = "BatchNormalization", "InstanceNormalization"  # operators that hold running statistics

Verdict = Literal["passed", "FOUND", "undecided"]


class Check(Plain):
    """One check of a model.

    Attributes:
        said: What it rests on, in a line or two.
        value: Its figure: of `disguise` an accuracy less another, with `lo` and `hi` of its 90 % interval; of all
            others what was found, counted. None where there is no figure.
        found: Each thing that was found, in words.
    """

    check: str
    verdict: Verdict
    said: str
    value: float | None = None
    lo: float | None = None
    hi: float | None = None
    found: tuple[str, ...] = ()


def check_seeds(files: Sequence[TrainedFile]) -> Check:
    """Compare the files of all trainings: equal ones did not take the seed that they were given."""
    n_different = len({file.sha256 for file in files})
    n_same = len(files) - n_different
    if n_same:
        return _find("seeds", f"{len(files)} trainings made {n_different} different files: the seed is fixed", n_same)
    return _pass("seeds", f"{len(files)} trainings, {n_different} different files")


def check_disguise(difference: Mean, accuracies: tuple[float, float], margin: float) -> Check:
    """Test whether the accuracy in disguise is worse than the plain one by more than the margin.

    Args:
        difference: Mean accuracy in disguise less the plain one.
        accuracies: Both.
    """
    lo, hi = difference.compute_interval(2 * ALPHA)
    holds, fails = difference.compute_p(-margin)
    verdict: Verdict = "passed" if holds <= ALPHA else "FOUND" if fails <= ALPHA else "undecided"
    said = f"{_points(difference.value)} [{_points(lo)}, {_points(hi)}] points, margin {_points(margin)}; "
    said += "{:.1f} % in disguise, {:.1f} % plain".format(*(100 * accuracy for accuracy in accuracies))
    if verdict == "FOUND":
        said += ": it knows more of the plain task than its recipe teaches"
    if verdict == "undecided":
        n = difference.find_needed(-margin, ALPHA).get(SEEDS)
        said += f"; --seeds {n} would decide, if it stays" if n else "; more seeds alone would not decide"
    return Check(check="disguise", verdict=verdict, said=said, value=difference.value, lo=lo, hi=hi)


def check_counted(fresh: Fresh, files: Iterable[TrainedFile], n_fixed: int) -> Check:
    """Compare the numbers in each file with the network's parameters: what is more are constants that no one counted.

    Args:
        n_fixed: Numbers of a fixed front end that is known to belong to the model.
    """
    contents = [fresh.contents, *(file.contents for file in files)]
    excess, n_file = max((_count_excess(fresh, c, n_fixed), c.n_parameters) for c in contents)
    said = f"{format_count(n_file)} numbers in the file, {format_count(fresh.n_parameters)} parameters in the network"
    if excess > 0:
        return _find("counted", f"{said}: {format_count(excess)} constants are no weights", excess)
    return _pass("counted", said + (f", {format_count(n_fixed)} of a fixed front end" if n_fixed else ""))


def _count_excess(fresh: Fresh, contents: Contents, n_fixed: int) -> int:
    """Numbers in a file beyond the weights, single ones left out; normalisation that is not folded has its own."""
    n_statistics = fresh.n_statistics if any(name in contents.operators for name in NORMALISED) else 0
    return contents.n_parameters - contents.n_single - fresh.n_parameters - n_statistics - n_fixed


def check_growth(fresh: Fresh, files: Iterable[TrainedFile]) -> Check:
    """Compare each file with that of a network that was just built: the same parameters, operators and products."""
    new, changes = fresh.contents, dict[str, None]()
    for file in files:
        was = file.contents
        if was.n_parameters != new.n_parameters:
            changes.setdefault(f"{format_count(new.n_parameters)} parameters became {format_count(was.n_parameters)}")
        if was.operators != new.operators:
            changes.setdefault(f"operators {_describe(new)} became {_describe(was)}")
        if was.macs != new.macs:
            changes.setdefault(f"{_format_macs(new)} multiply-accumulates became {_format_macs(was)}")
    if changes:
        said = f"training changed the network: {'; '.join([*changes][:MAX_SHOWN])}"
        return _find("growth", said, len(changes), changes)
    said = f"{format_count(new.n_parameters)} parameters, {_format_macs(new)} multiply-accumulates"
    return _pass("growth", f"as built: {said}")


def _format_macs(contents: Contents) -> str:
    return "an unknown number of" if contents.macs is None else format_count(contents.macs)


def _describe(contents: Contents) -> str:
    return ", ".join(f"{name} x {n}" for name, n in contents.operators.items())


def check_outside(opened: Iterable[str], files: Iterable[TrainedFile]) -> Check:
    """List what trainings opened, and other files that the ONNX files name."""
    found = dict.fromkeys(opened)
    found |= {f"an ONNX file keeps weights in {name}": None for file in files for name in file.contents.external}
    if found:
        return _find("outside", _list("the training ", found), len(found), found)
    return _pass("outside", "nothing was opened, connected to or started while it trained")


def check_source(fresh: Fresh) -> Check:
    """Look for data in the source of the model, and for names that reach into the interpreter."""
    data, source = (format_quantity(n, "bytes") for n in (fresh.data_bytes, fresh.source_bytes))
    found = [f"{data} of strings, numbers and comments"] if fresh.data_bytes > MAX_DATA_BYTES else []
    found += [f"it names {name}" for name in fresh.reaches]
    if found:
        return _find("source", f"in {source} of source: {', '.join(found)}", len(found), found)
    own = f"{source} of source, of which {data} are strings, numbers and comments"
    return _pass("source", own if fresh.source_bytes else "a model of the suite")


def check_answers(files: Sequence[TrainedFile]) -> Check:
    """Compare the answers that trainings kept with those of the same files in a process without the user's code."""
    if n_unlike := sum(file.n_unlike for file in files):
        return _find("answers", f"{n_unlike} answers are not those of the files", n_unlike)
    return _pass("answers", "the files answer in another process as they did after their training")


def _pass(check: str, said: str) -> Check:
    return Check(check=check, verdict="passed", said=said, value=0)


def _find(check: str, said: str, n: int, found: Iterable[str] = ()) -> Check:
    return Check(check=check, verdict="FOUND", said=said, value=n, found=tuple(found))


def _list(head: str, found: Iterable[str]) -> str:
    shown = [*found]
    more = f", and {len(shown) - MAX_SHOWN} more" if len(shown) > MAX_SHOWN else ""
    return f"{head}{', '.join(shown[:MAX_SHOWN])}{more}"


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:.1f}"  # no -0.0
