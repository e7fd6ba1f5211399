"""What parent and worker say to each other."""

from dlmi_bench.backends import JUDGED_BACKEND

EMPTY = "empty call"


NOT_FINITE = "the network's scores are not finite: training diverged"


def scores_role(backend: str) -> str:
    """Role of the validation scores that a timed run of the backend must repeat."""
    return "validation_scores" if backend == JUDGED_BACKEND else f"validation_scores-{backend}"


# Examples that the runtimes are compared on; more where a batch is larger.
N_EXAMPLES = 16
