"""Claims tested together: the graph against Holm's correction, against the whole closure, and by hand."""

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmi_bench.stats.families import EPSILON, PRIMARY_SHARE, Graph, adjust_p, find_weights, make_graph
from dlmi_bench.stats.intervals import compute_holm

P = st.floats(1e-9, 1.0)
GROUPS = st.lists(st.tuples(st.booleans(), P), min_size=1, max_size=6)  # (primary, p-value)
NEAR = 1e-4  # the share that leaks to the other group before its own is decided is far smaller


def weigh_by_hand(is_primary: Sequence[bool], among: Sequence[int]) -> dict[int, float]:
    """Weights of the hypothesis that all of `among` are null: 4 to 1 where both groups are there, each group alike."""
    n_primary = sum(is_primary[i] for i in among)
    n_secondary = len(among) - n_primary
    if not n_primary or not n_secondary:
        return dict.fromkeys(among, 1 / len(among))
    return {i: 0.8 / n_primary if is_primary[i] else 0.2 / n_secondary for i in among}


def close(is_primary: Sequence[bool], p_values: Sequence[float]) -> list[float]:
    """Adjust by the whole closure: a claim is decided where every intersection that has it is rejected."""
    n = len(p_values)
    adjusted = [0.0] * n
    for size in range(1, n + 1):
        for among in combinations(range(n), size):
            weights = weigh_by_hand(is_primary, among)
            p = min(1.0, min(p_values[i] / weights[i] for i in among))
            for i in among:
                adjusted[i] = max(adjusted[i], p)
    return adjusted


@given(st.lists(P, min_size=1, max_size=9), st.booleans())
def test_one_group_is_holm(p_values: list[float], is_primary: bool) -> None:
    """Claims of one role, primary or secondary, are corrected as by Holm."""
    adjusted = adjust_p(p_values, make_graph([is_primary] * len(p_values)))
    assert adjusted == pytest.approx(compute_holm(p_values))


@given(GROUPS)
def test_two_groups_are_their_closure(claims: list[tuple[bool, float]]) -> None:
    """The short way over the graph finds what all intersections find, with weights that no graph computed."""
    is_primary, p_values = [c[0] for c in claims], [c[1] for c in claims]
    assert adjust_p(p_values, make_graph(is_primary)) == pytest.approx(close(is_primary, p_values), rel=NEAR)


@given(GROUPS, st.data())
def test_order_of_claims_does_not_matter(claims: list[tuple[bool, float]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(claims))))
    adjusted, moved = (
        adjust_p([c[1] for c in listed], make_graph([c[0] for c in listed]))
        for listed in (claims, [claims[i] for i in order])
    )
    assert moved == pytest.approx([adjusted[i] for i in order], rel=1e-9)


GENERAL = Graph(
    np.array([0.4, 0.3, 0.1, 0.1, 0.1]),
    np.array(
        [
            [0, 0.5, 0.3, 0.2, 0],
            [0.2, 0, 0.5, 0, 0.3],
            [0.1, 0.1, 0, 0.6, 0.1],
            [0.7, 0, 0.1, 0, 0.2],
            [0.2, 0.2, 0.2, 0.2, 0],
        ]
    ),
)


@pytest.mark.parametrize("graph", [make_graph([True, True, False, False, False]), GENERAL])
def test_order_of_removal_does_not_matter(graph: Graph) -> None:
    """Whichever of three claims goes first, the other two have the same shares and pass them on in the same way."""
    left = []
    for order in permutations(range(3)):
        now = graph
        for i in order:
            now = now.remove(i)
        left.append(np.vstack([now.weights, now.transitions]))
    assert np.allclose(left, left[0], atol=1e-9)
    assert 0 < left[0][0, 3:].sum() <= 1 + 1e-9
    assert np.all(left[0][:, :3] == 0)


def test_removal_by_hand() -> None:
    """Claims A, B, C with 1/2, 1/2, 0; A gives half to B and half to C, B all to A: without A, C has 1/4, B 3/4.

    What B would give A goes on to C, by way of B itself: g = (0 + 1 x 1/2) / (1 - 1 x 1/2) = 1.
    """
    graph = Graph(np.array([0.5, 0.5, 0.0]), np.array([[0, 0.5, 0.5], [1.0, 0, 0], [0, 0, 0]]))
    without = graph.remove(0)
    assert without.weights == pytest.approx([0, 0.75, 0.25])
    assert without.transitions == pytest.approx(np.array([[0, 0, 0], [0, 0, 1.0], [0, 0, 0]]))


def test_decided_group_passes_its_level_on() -> None:
    """Two primary claims begin with 4/10 each, three secondary with 2/30; both primary decided, these have a third."""
    graph = make_graph([True, True, False, False, False])
    assert graph.weights == pytest.approx([0.4, 0.4, *[0.2 / 3] * 3])
    assert find_weights([1.0] * 5, graph, 0.05) == pytest.approx(graph.weights)
    one = find_weights([0.0, 1.0, 1.0, 1.0, 1.0], graph, 0.05)
    assert one == pytest.approx([0, 0.8, *[0.2 / 3] * 3], abs=1e-5)
    both = find_weights([0.0, 0.0, 1.0, 1.0, 1.0], graph, 0.05)
    assert both == pytest.approx([0, 0, *[1 / 3] * 3], abs=1e-5)
    secondary = find_weights([1.0, 1.0, 0.0, 0.0, 0.0], graph, 0.05)
    assert secondary == pytest.approx([0.5, 0.5, 0, 0, 0], abs=1e-5)
    assert find_weights([0.0] * 5, graph, 0.05) == [0.0] * 5
    assert PRIMARY_SHARE == 0.8
    assert EPSILON < 1e-5


def test_secondary_claim_profits_from_a_decided_group() -> None:
    """p = .02 of one secondary claim: 5 x .02 = .1 beside an open primary one, .02 once that is decided."""
    graph = make_graph([True, False])
    assert adjust_p([0.5, 0.02], graph) == pytest.approx([0.5, 0.1])
    assert adjust_p([0.001, 0.02], graph) == pytest.approx([0.00125, 0.02])


@pytest.mark.parametrize("is_primary", [[True], [False], [True, False], [True, True, False]])
def test_extreme_p_values(is_primary: list[bool]) -> None:
    """Of p = 0 all are decided, of p = 1 none; of one 0 only that one."""
    graph, n = make_graph(is_primary), len(is_primary)
    assert adjust_p([0.0] * n, graph) == [0.0] * n
    assert adjust_p([1.0] * n, graph) == [1.0] * n
    assert adjust_p([0.0, *[1.0] * (n - 1)], graph) == [0.0, *[1.0] * (n - 1)]


SHARED = st.lists(st.tuples(st.integers(0, 2), P), min_size=1, max_size=6)  # (node, p-value)


@given(SHARED, st.lists(st.booleans(), min_size=3, max_size=3))
def test_shared_nodes_are_their_closure(claims: list[tuple[int, float]], roles: list[bool]) -> None:
    """A node weighs the same for one or several of its claims, in each intersection that has any of them."""
    numbers = {node: i for i, node in enumerate(dict.fromkeys(node for node, _ in claims))}
    nodes, p_values = [numbers[node] for node, _ in claims], [p for _, p in claims]
    is_primary = roles[: len(numbers)]
    adjusted = [0.0] * len(claims)
    for size in range(1, len(claims) + 1):
        for among in combinations(range(len(claims)), size):
            weights = weigh_by_hand(is_primary, sorted({nodes[i] for i in among}))
            p = min(1.0, min(p_values[i] / weights[nodes[i]] for i in among))
            for i in among:
                adjusted[i] = max(adjusted[i], p)
    assert adjust_p(p_values, make_graph(is_primary), nodes) == pytest.approx(adjusted, rel=NEAR)


def test_node_passes_its_level_on_with_its_last_claim() -> None:
    """Two claims of one node and one of another: half for each node; all for the second once the first has no more."""
    graph, nodes = make_graph([True, True]), [0, 0, 1]
    assert adjust_p([0.01, 0.02, 0.04], graph, nodes) == pytest.approx([0.02, 0.04, 0.04])
    assert find_weights([0.01, 1.0, 1.0], graph, 0.05, nodes) == pytest.approx([0, 0.5, 0.5])
    assert find_weights([0.01, 0.01, 1.0], graph, 0.05, nodes) == pytest.approx([0, 0, 1.0])


def test_one_claim_and_none() -> None:
    """A claim alone is not corrected, in either role; no claims are no error."""
    for role in (True, False):
        assert adjust_p([0.04], make_graph([role])) == [0.04]
    assert adjust_p([], make_graph([])) == []
    assert find_weights([], make_graph([]), 0.05) == []
