"""Answer of every function of the API: the object, a table, and text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import pandas as pd

    from dlmi_bench.records import Figure

Content = TypeVar("Content")


@dataclass(frozen=True)
class Answer(Generic[Content]):
    """Result of a function of this module.

    Attributes:
        content: The object itself, with everything that is known.
        rows: A table of it, one dictionary a row; units are the last word of a column's name.
        text: The same for a terminal of 80 columns.
    """

    content: Content
    rows: Sequence[Mapping[str, object]] = field(repr=False)
    text: str = field(repr=False)

    def to_dataframe(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html(index=False, na_rep="")


def list_figures(figures: Iterable["Figure"]) -> list[dict[str, object]]:
    """List what a table of figures needs: value, bounds, sample size, source and conditions."""
    shown = {"name", "value", "lo", "hi", "n", "kind", "source", "reason"}
    return [figure.model_dump(mode="json", include=shown) | figure.conditions for figure in figures]
