"""Judgement of what others report: kept as results, judged by claims or by the default questions, and put in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from textwrap import wrap

from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.files import write_text
from dlmi_bench.stats.congruence import FalseClaim
from dlmi_bench.store import Store
from dlmi_bench.units import clean_line, format_count, format_percent
from dlmi_reports.answers.pairs import PairVerdict, describe_pairs, list_pairs
from dlmi_reports.claims.changes import LockedVerdicts, format_locked, judge_results
from dlmi_reports.claims.defaults import POINT, make_pair_claims
from dlmi_reports.claims.file import NAME, load_claims
from dlmi_reports.claims.prose import WIDTH, describe_families
from dlmi_reports.results.load import Results, load_results
from dlmi_reports.results.model import Accuracy

MAX_PAIRED = 40  # algorithms; of more, all pairs are unreadable
UNTUNED = "How much each algorithm was tuned is not known."
OF_NETWORKS = "One set of answers is known of {names}: what is said is said of these networks, not of another training."


@dataclass(frozen=True)
class Judged:
    """What others report, judged.

    Attributes:
        accuracies: By algorithm, the most accurate first.
        pairs: Verdicts on the default questions; none where claims were given.
        notes: What was assumed, in sentences.
        false_claims: By pair, how probably the first is not better; only where accuracies alone are known.
    """

    task: str
    results: Results
    verdicts: LockedVerdicts
    accuracies: dict[str, Accuracy]
    pairs: tuple[PairVerdict, ...] = ()
    notes: tuple[str, ...] = ()
    margin: float = POINT
    false_claims: Mapping[tuple[str, str], FalseClaim] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """The claims' own; 0 for the default questions, which nobody claimed."""
        return 0 if self.pairs or not self.verdicts.judgements else self.verdicts.exit_code


def judge_store(
    store: Store, task: str, notes: Sequence[str] = (), *, claims: Path | None = None, margin: float = POINT
) -> Judged:
    """Judge the results of others in a store by claims, or by the default questions, which are kept beside them.

    Raises:
        UsageError: the claims are wrong, or about other tasks and models, or there are too many algorithms.
    """
    results = load_results(store)
    models = results.tasks[task].models
    means = {name: fmean(model.values("test_accuracy")) for name, model in models.items()}
    ordered = sorted(models, key=lambda name: -means[name])
    if claims:
        _check_names(claims, task, ordered)
    elif len(ordered) > 1:
        if len(ordered) > MAX_PAIRED:
            cause = f"{len(ordered)} algorithms have {len(ordered) * (len(ordered) - 1) // 2} pairs"
            raise UsageError(cause, f"name what is asked in --claims, or leave all but {MAX_PAIRED} out with --ignore")
        _keep_questions(store.folder / NAME, make_pair_claims(task, list(models), margin))
    verdicts = judge_results(results, claims) if claims or len(ordered) > 1 else LockedVerdicts((), 0.05)
    single = [name for name in ordered if len(models[name].repeats) == 1]
    said = [OF_NETWORKS.format(names="each" if len(single) == len(models) else ", ".join(single))] if single else []
    accuracies = {name: accuracy for name in ordered if (accuracy := models[name].compute_accuracy())}
    pairs = () if claims else tuple(list_pairs(verdicts))
    return Judged(task, results, verdicts, accuracies, pairs, (*said, *notes, UNTUNED), margin)


def _keep_questions(path: Path, text: str) -> None:
    """Keep the default questions, where no claims of somebody's own are."""
    if path.is_file() and path.read_bytes() != text.encode():
        raise UsageError(f"{path}: holds other claims", "judge them with --claims, or remove the file")
    write_text(path, text)


def _check_names(file: Path, task: str, models: Sequence[str]) -> None:
    """Check that claims are about this task and these algorithms."""
    for claim in load_claims(file).claim:
        for name in claim.list_population("task"):
            if name != task:
                raise UsageError(f"{file}: claim {claim.id}: no task {name!r}", f"write {task}, or add --name {name}")
        for name in claim.list_population("model"):
            if name not in models:
                raise UsageError(f"{file}: claim {claim.id}: no algorithm {name!r}", list_choices(name, models))


def format_judged(judged: Judged) -> str:
    """Write accuracies, verdicts and assumptions as plain text."""
    lines = [*_format_accuracies(judged), ""]
    if judged.pairs:
        lines += [part for said in describe_pairs(judged.pairs) for part in wrap(clean_line(said), WIDTH)]
        lines += ["", *(line for pair in judged.pairs for line in _format_pair(pair, judged)), ""]
        lines += [part for text in describe_families(judged.verdicts) for part in wrap(text, WIDTH)]
    elif judged.verdicts.judgements:
        lines.append(format_locked(judged.verdicts))
    else:
        lines.append("One algorithm: there is nothing to compare it with. State a claim with --claims.")
    lines += ["", *(part for note in judged.notes for part in wrap(clean_line(note), WIDTH))] if judged.notes else []
    return "\n".join(lines)


def _format_accuracies(judged: Judged) -> list[str]:
    width = max(map(len, judged.accuracies))
    lines = []
    for name, found in judged.accuracies.items():
        mean, lo, hi = (format_percent(share) for share in (found.mean, found.lo, found.hi))
        seeds = f", {found.n_seeds} seeds" if found.n_seeds > 1 else ""
        lines.append(f"{clean_line(name):<{width}}  {mean} [{lo}, {hi}] % of {format_count(found.n)} cases{seeds}")
    return lines


def _format_pair(pair: PairVerdict, judged: Judged) -> list[str]:
    head = f"{clean_line(pair.first)} - {clean_line(pair.second)}: {pair.difference}"
    found = judged.false_claims.get(pair.key)
    said = [pair.said, *([describe_false_claim(found)] if found else [])]
    wrapped = (wrap(clean_line(text), WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6) for text in said)
    return [head, *(part for parts in wrapped for part in parts)]


def describe_false_claim(found: FalseClaim) -> str:
    """Say how probably a claimed superiority is false."""
    value, lo, hi = (f"{share:.3f}" for share in (found.value, found.lo, found.hi))
    both = f"both are right in {format_percent(found.congruence)} % of the cases"
    return f"a claim that it is better is false with probability {value} if {both} [{lo}, {hi} over all congruences]"
