"""Figures into text, with the digits that the uncertainty supports."""

import pytest

from dlmi_bench.units import format_count, format_number, format_percent, format_quantity, format_range, unit_of


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (16.342, 0.31, "16.3"),
        (16.342, 0.14, "16.34"),
        (1234.5, 57, "1230"),
        (0.95678, 0.009, "0.957"),
        (16.342, None, "16.3"),
        (0, None, "0"),
        (123456, 0.001, "123500"),
        (-0.3, 3.0, "0"),
    ],
)
def test_digits_follow_the_spread(value: float, spread: float | None, text: str) -> None:
    """The last digit shown is the first one of the spread, one more where that starts with 1, four at most."""
    assert format_number(value, spread) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.634e-5, "s", "16.3 us"), (90.0, "s", "1.50 min"), (2048, "bytes", "2.00 KiB"), (47.0, "j", "47.0 J"),
     (18752, "macs", "18.8 k"), (0.25, "j", "250 mJ")],
)  # fmt: skip
def test_quantities_get_a_readable_unit(value: float, unit: str, text: str) -> None:
    """SI inside, a prefix outside."""
    assert format_quantity(value, unit) == text


def test_range_shares_one_unit() -> None:
    """Value and bounds are printed in the unit of the value."""
    assert format_range(1.63e-5, 1.6e-5, 1.8e-5, "s") == "16.3 [16.0, 18.0] us"
    assert format_range(1.9e-3, 0.5e-3, 2.5e-3, "s") == "1.9 [0.5, 2.5] ms"


def test_counts_are_grouped_and_exact() -> None:
    """A count loses no digit."""
    assert format_count(134272835) == "134 272 835"


def test_percent_and_unit_word() -> None:
    """Fractions become percent, and the unit is the last word of a name."""
    assert format_percent(0.9444) == "94.4"
    assert unit_of("time_to_target_s") == "s"
