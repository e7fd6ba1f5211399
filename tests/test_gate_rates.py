"""Error rates of the latency gate: recorded A/A sessions replayed, machines of known habits simulated.

Every rate comes with its n and exact bounds; the same figures, from more sessions, are in METHOD.md.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean, median

import numpy as np
import pytest

from dlmi_bench.gating.latency.decision import ALPHA, INPROC, TWOPROC, Process, compute_interval, decide_latency
from dlmi_bench.gating.verdicts import Verdict
from dlmi_bench.stats.intervals import compute_clopper_pearson, compute_t_interval
from dlmi_bench.stats.ratios import compute_log_ratio
from regimes import REGIMES, SLOWED, Regime, count_verdicts, make_process, run_session, simulate_logs, simulate_rounds

Recorded = dict[str, list[dict[str, list[float]]]]
LIMIT = math.log(1.05)
SLOWDOWNS = (0.0, 0.02, 0.05, 0.1, 0.2)
# What the same program against itself may cost: at most this share without a verdict or with a wrong one.
MAX_UNDECIDED = 0.05
ALONE = "two processes, one in seven slow, each alone"


def replay(recorded: Recorded, mode: str, looks: Sequence[int], slowdown: float, n: int) -> Counter[Verdict]:
    """Verdicts of `n` sessions drawn from the recorded processes; the second series stands in for the controls."""
    logs = [[compute_log_ratio([1.0] * len(s[k]), s[k]) for k in "to"] for s in recorded[mode]]
    pool = [make_process(t + math.log1p(slowdown), twin=o, slowed=o + SLOWED) for t, o in logs]
    draw = random.Random(7)
    return Counter(run_session(draw.sample(pool, looks[-1]), looks).verdict for _ in range(n))


def list_series(recorded: Recorded, mode: str) -> list[list[float]]:
    """Rounds of both series of every process of a mode, as log ratios."""
    return [[math.log(x) for x in session[key]] for session in recorded[mode] for key in "to"]


def has_slower_rounds(rounds: Sequence[float], rng: np.random.Generator) -> bool:
    """Bad design: the rounds of one process bootstrapped, 95 % interval of their median wholly above zero."""
    draws = np.median(rng.choice(np.array(rounds), (300, len(rounds))), axis=1)
    return bool(np.quantile(draws, 0.025) > 0)


@pytest.mark.parametrize(("mode", "looks"), [("inproc", INPROC), ("hop", TWOPROC)])
def test_recorded_sessions_get_the_right_verdict(recorded: Recorded, mode: str, looks: Sequence[int]) -> None:
    """Real A/A sessions: never red at 0 and 2 %, nearly always passed at 0 %, found at 10 and 20 %."""
    counts = {slowdown: replay(recorded, mode, looks, slowdown, 200) for slowdown in SLOWDOWNS}
    assert counts[0.0][Verdict.REGRESSED] == counts[0.02][Verdict.REGRESSED] == 0
    assert counts[0.0][Verdict.PASS] >= 190
    assert min(counts[0.1][Verdict.REGRESSED], counts[0.2][Verdict.REGRESSED]) >= 190
    assert counts[0.05][Verdict.INCONCLUSIVE] >= 100  # on the limit itself neither answer is right


@pytest.mark.parametrize(("mode", "n_processes"), [("inproc", 3), ("hop", 5)])
def test_first_look_alone_finds_ten_percent(recorded: Recorded, mode: str, n_processes: int) -> None:
    """Every set of three in-process and 1000 sets of five same-CPU processes: no false red, 95 % found."""
    medians = [median(rounds) for rounds in list_series(recorded, mode)[::2]]
    sets = list(combinations(medians, n_processes))
    sets = sets if len(sets) < 4000 else random.Random(3).sample(sets, 1000)
    lows = [compute_interval(chosen, 0.05).lo for chosen in sets]
    assert not any(lo > LIMIT for lo in lows)
    assert sum(lo + SLOWED > LIMIT for lo in lows) >= 0.95 * len(sets)


def test_recorded_rounds_go_through_the_whole_gate(recorded: Recorded) -> None:
    """Raw rounds, the first three processes, 10 % slower: red; as they are: pass."""
    for slowdown, verdict in [(1.0, Verdict.PASS), (1.1, Verdict.REGRESSED)]:
        processes = [
            Process([1.0] * 100, [slowdown * x for x in s["t"]], s["o"], [1.1 * x for x in s["o"]])
            for s in recorded["inproc"][:3]
        ]
        assert decide_latency("m", processes).verdict is verdict


@pytest.mark.parametrize("mode", ["free", "hop"])
def test_bootstrap_over_rounds_cries_wolf(recorded: Recorded, mode: str) -> None:
    """Bad design: with rounds as replicates the same program is "slower" 4 x more often than the 2.5 % claimed."""
    series = list_series(recorded, mode)
    n_false = sum(has_slower_rounds(rounds, np.random.default_rng(1)) for rounds in series)
    assert compute_clopper_pearson(n_false, len(series))[0] > 4 * 0.025
    by_process = compute_t_interval([median(rounds) for rounds in series], ALPHA)
    assert by_process[0] < 0 < by_process[1]


def test_mean_over_rounds_cries_wolf(recorded: Recorded) -> None:
    """Bad design: by the mean of its ratios a quarter of the same-CPU pairs is over 5 % slower, by the median none."""
    series = list_series(recorded, "hop")
    means = [fmean(math.exp(x) for x in rounds) for rounds in series]
    assert sum(mean > 1.05 for mean in means) >= len(series) / 4
    assert not any(median(rounds) > LIMIT for rounds in series)


def test_unpinned_processes_cry_wolf_or_say_nothing(recorded: Recorded) -> None:
    """Bad design: without pinning single pairs read 5 % slower, and a third of K = 3 sessions cannot be decided."""
    free = [median(rounds) for rounds in list_series(recorded, "free")]
    assert any(x > LIMIT for x in free)
    assert sum(abs(x) > LIMIT for x in free) >= 3
    undecided = [compute_interval(chosen, 0.05).hi >= LIMIT for chosen in combinations(free[::2], 3)]
    assert fmean(undecided) > 0.3
    pinned = [median(rounds) for rounds in list_series(recorded, "hop")[::2]]
    assert np.std(free[::2]) > 4 * np.std(pinned)


def test_unpaired_medians_cry_wolf() -> None:
    """Bad design: "median 5 % slower" between two processes, one in seven of them slow, fires one time in ten."""
    base, other = simulate_rounds(REGIMES[ALONE], 1000, np.random.default_rng(2))
    n_false = int(np.sum(np.median(other, axis=1) > 1.05 * np.median(base, axis=1)))
    assert compute_clopper_pearson(n_false, 1000)[0] > 0.08


def test_fixed_cpus_cry_wolf() -> None:
    """Bad design: one side on each CPU reads their difference as a regression; the same rounds paired on one do not."""
    regime = REGIMES["one process, second CPU 1.3 x slower"]
    base, other = simulate_rounds(regime, 3, np.random.default_rng(2))
    on_second = np.arange(base.shape[1]) // 2 % 2 == 1
    apart = [compute_log_ratio(b[~on_second].tolist(), o[on_second].tolist()) for b, o in zip(base, other, strict=True)]
    assert run_session([make_process(x) for x in apart], (3,)).verdict is Verdict.REGRESSED
    paired = [compute_log_ratio(b.tolist(), o.tolist()) for b, o in zip(base, other, strict=True)]
    assert run_session([make_process(x) for x in paired], (3,)).verdict is Verdict.PASS


@pytest.mark.parametrize("name", sorted(REGIMES))
def test_false_alarms_are_rare_in_every_regime(name: str) -> None:
    """The same program, 250 sessions: below 2 % red with exact 95 % confidence, before any confirmation."""
    counts, n_confirmed = count_verdicts(REGIMES[name], 0.0, 250)
    assert compute_clopper_pearson(counts[Verdict.REGRESSED], 250)[1] < 0.02
    assert n_confirmed == 0
    n_passed = counts[Verdict.PASS] + counts[Verdict.IMPROVED]
    assert n_passed >= (1 - MAX_UNDECIDED) * 250 or name == ALONE


@pytest.mark.parametrize("name", sorted(set(REGIMES) - {ALONE}))
def test_ten_percent_is_found_in_every_regime(name: str) -> None:
    """10 % slower, 200 sessions: at least 95 % red, and confirmed, with exact 95 % confidence."""
    _, n_confirmed = count_verdicts(REGIMES[name], 0.1, 200)
    assert compute_clopper_pearson(n_confirmed, 200)[0] > 0.95


def test_processes_slow_alone_fail_closed() -> None:
    """Where slow processes hit one side only, sessions go without a verdict rather than pass a slowdown of 10 %."""
    counts, _ = count_verdicts(REGIMES[ALONE], 0.1, 200)
    assert counts[Verdict.PASS] + counts[Verdict.IMPROVED] <= 2
    assert counts[Verdict.INVALID] > counts[Verdict.REGRESSED] > 20


def test_alpha_is_spent_at_the_limit() -> None:
    """Slower by tau exactly, three looks at 2 % each: 400 sessions red within 6 %, and confirmed ten times less."""
    counts, n_confirmed = count_verdicts(REGIMES["one process, quiet"], 0.05, 400)
    lo, hi = compute_clopper_pearson(counts[Verdict.REGRESSED], 400)
    assert lo < 0.06
    assert 0.02 < hi < 0.08
    assert 10 * n_confirmed <= counts[Verdict.REGRESSED]


@pytest.mark.parametrize("n_processes", INPROC)
def test_interval_covers_as_often_as_it_says(n_processes: int) -> None:
    """4000 sessions: each bound is missed with probability alpha."""
    logs = simulate_logs(Regime(0.017, 0.02), 4000 * n_processes, seed=5).reshape(4000, n_processes)
    for sign in (1, -1):
        n_missed = sum(compute_t_interval(row, ALPHA)[0] > 0 for row in (sign * logs).tolist())
        lo, hi = compute_clopper_pearson(n_missed, 4000, 0.999)
        assert lo < ALPHA < hi
