"""Tests of several claims together, by a graph that passes on the level of each claim that is decided.

Source: F. Bretz, W. Maurer, W. Brannath, M. Posch, Statistics in Medicine 28 (2009) 586-604. Holm's correction is the
graph in which all claims are alike. No independence is assumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRIMARY_SHARE = 0.8  # of the level, where a family has secondary claims as well
# Share that goes to the other group before its own is decided; in the limit 0 it goes there afterwards only.
EPSILON = 1e-6


@dataclass(frozen=True)
class Graph:
    """How a family's level is shared, and where the share of a decided claim goes.

    Attributes:
        weights: (claim,), at most 1 in sum: share of the level that each claim begins with.
        transitions: (claim, claim), rows at most 1 in sum: what part of its share goes to which other.
    """

    weights: Floats
    transitions: Floats

    def remove(self, i: int) -> "Graph":
        """Pass on the share of a decided claim; it keeps none and receives none."""
        g = self.transitions
        loops = 1 - g[:, i] * g[i, :]  # what leaves a claim by way of `i` and does not come back
        with np.errstate(divide="ignore", invalid="ignore"):
            transitions = np.where(loops[:, None] > 0, (g + np.outer(g[:, i], g[i, :])) / loops[:, None], 0.0)
        np.fill_diagonal(transitions, 0.0)
        weights = self.weights + self.weights[i] * g[i, :]
        weights[i] = transitions[i, :] = transitions[:, i] = 0.0
        return Graph(weights, transitions)


def make_graph(is_primary: Sequence[bool]) -> Graph:
    """Share the level within the primary and within the secondary claims alike; a group that is decided passes it on.

    With one group only this is Holm's correction.
    """
    primary = np.asarray(is_primary, bool)
    n, n_primary = len(primary), int(primary.sum())
    sizes = np.where(primary, n_primary, n - n_primary)  # of each claim's own group
    is_mixed = 0 < n_primary < n
    share = np.where(primary, PRIMARY_SHARE, 1 - PRIMARY_SHARE) if is_mixed else 1.0
    is_same = primary[:, None] == primary
    inside = np.where(sizes > 1, 1 - EPSILON * is_mixed, 0.0)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        transitions = np.where(is_same, inside / (sizes - 1)[:, None], (1 - inside) / (n - sizes)[:, None])
    np.fill_diagonal(transitions, 0.0)
    return Graph(share / sizes, transitions)


def adjust_p(p_values: Sequence[float], graph: Graph, nodes: Sequence[int] = ()) -> list[float]:
    """Adjust p-values: where one is at most alpha, its claim is decided, and any is wrongly with probability alpha.

    Args:
        nodes: Node of the graph that each claim belongs to; without it, each is one. Claims of one node are all tested
            at its level, which it passes on when the last of them is decided: the smallest p-value of any of them must
            be one of the statement that all of these are wrong.
    """
    nodes = nodes or range(len(p_values))
    adjusted, worst, left = [1.0] * len(p_values), 0.0, set(range(len(p_values)))
    while left:
        first = min(left, key=lambda i: _divide(p_values[i], float(graph.weights[nodes[i]])))
        worst = max(worst, min(1.0, _divide(p_values[first], float(graph.weights[nodes[first]]))))
        adjusted[first] = worst
        left.remove(first)
        if all(nodes[i] != nodes[first] for i in left):
            graph = graph.remove(nodes[first])
    return adjusted


def find_weights(p_values: Sequence[float], graph: Graph, alpha: float, nodes: Sequence[int] = ()) -> list[float]:
    """Find the share of the level at which each open claim is tested now; 0 for those that are decided."""
    nodes = nodes or range(len(p_values))
    is_open = [p > alpha for p in adjust_p(p_values, graph, nodes)]
    for node in set(nodes) - {node for node, still in zip(nodes, is_open, strict=True) if still}:
        graph = graph.remove(node)
    return [float(graph.weights[node]) * still for node, still in zip(nodes, is_open, strict=True)]


def _divide(p: float, weight: float) -> float:
    return p / weight if weight > 0 else float("inf")
