"""Memory of what was computed of a model or a task: tables, plots and claims ask for the same figures many times."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Remembers(Protocol):
    """Anything that is complete when it is first asked, and keeps what it said."""

    @property
    def memo(self) -> dict[Hashable, Any]: ...


S = TypeVar("S", bound=Remembers)
P = ParamSpec("P")
R = TypeVar("R")


def remember(compute: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Compute once for each set of arguments, all of them hashable; kept by the first one."""

    @wraps(compute)
    def ask(holder: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (compute, args, tuple(kwargs.items()))
        if key not in holder.memo:
            holder.memo[key] = compute(holder, *args, **kwargs)
        found: R = holder.memo[key]
        return found

    return ask
