"""Scores as people read them."""

from __future__ import annotations

from typing import Any


def format_score(value: Any) -> str:
    """Return a score as text: what two decimals can say is shown with both, the rest as it is.

    Args:
        value: Number, or what else a metric of a recipe returns.

    Example:
        >>> [format_score(value) for value in (0.0, 2.5, 33.33, 0.00012, 7)]
        ['0.00', '2.50', '33.33', '0.00012', '7']
    """
    if isinstance(value, float) and round(value, 2) == value:
        return f"{value:.2f}"
    return str(value)
