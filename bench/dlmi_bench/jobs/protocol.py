"""What parent and worker say to each other: one request a job, and the type of its answer. Loads no torch.

A request names its job as `module:function`; the function takes the request and returns the answer. `Worker.ask` sends
it, so that type checkers and "find usages" follow a call from one process into the other.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import TypeAdapter

from dlmi_bench.backends import JUDGED_BACKEND
from dlmi_bench.records import Plain

Answer = TypeVar("Answer")
# Called with what is being done, in the job's own words, and the fraction of the job that is done.
OnProgress = Callable[[str, float], None]

EMPTY = "empty call"
NOT_FINITE = "the network's scores are not finite: training diverged"
# Examples that the runtimes are compared on; more where a batch is larger.
N_EXAMPLES = 16


class Request(Plain, Generic[Answer]):
    """What a worker is asked to do. A subclass holds the arguments and names the job.

    Attributes:
        job: `module:function` of the job, imported in the worker only.
    """

    job: ClassVar[str]

    @classmethod
    def parse_answer(cls, content: Any) -> Answer:
        """Answer from plain JSON.

        Raises:
            ValidationError: it is not of the type that the request declares.
        """
        return cls._make_adapter().validate_python(content)

    @classmethod
    @cache
    def _make_adapter(cls) -> TypeAdapter[Answer]:
        (answer,) = next(
            base.__pydantic_generic_metadata__["args"]
            for base in cls.__mro__
            if issubclass(base, Request) and base.__pydantic_generic_metadata__["origin"] is Request
        )
        return TypeAdapter(answer)


def scores_role(backend: str) -> str:
    """Role of the validation scores that a timed run of the backend must repeat."""
    return "validation_scores" if backend == JUDGED_BACKEND else f"validation_scores-{backend}"
