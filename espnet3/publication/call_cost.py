"""How much work per call a bundle may ask for, as far as its configs say it.

The weights bound how large a model is, see :mod:`.size_limit`; these bound how often it is run.
"""

from __future__ import annotations

import math
from typing import Any

MOST = {
    "beam_size": 1000,
    "nbest": 1000,
    "fs": 768_000,
    "sample_rate": 768_000,
    "max_sym_exp": 1000,
    "maxlenratio": 100,
    "minlenratio": 100,
    "nstep": 1000,
    "pre_beam_ratio": 1000,
    "u_max": 10_000,
}
"""Largest value of settings that multiply the work of a call."""
LEAST = {"hop_length": 10}
"""Smallest value of settings that divide it: samples from frame to frame."""
_MOST_TOKENS = 10_000
"""A negative ``maxlenratio`` is a number of tokens."""
_UNITS = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def describe_excess(name: str, value: Any) -> str | None:
    """Return what is wrong with a setting; ``None`` when it is fine or no setting of this kind.

    Example:
        >>> describe_excess("beam_size", 10**9)
        'makes a call more work than 1000 would, the most that is allowed'
        >>> describe_excess("beam_size", 20)
    """
    most, least = MOST.get(name), LEAST.get(name)
    number = _to_number(value) if most or least else None
    if number is None:
        return None
    if math.isnan(number):
        return "is no number"
    if most is not None and number < 0 and name.endswith("lenratio"):
        most, number = _MOST_TOKENS, -number
    if most is not None and number > most:
        return f"makes a call more work than {most} would, the most that is allowed"
    if least is not None and number < least:
        return f"makes a call more work than {least} would, the least that is allowed"
    return None


def _to_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip().lower()
    unit = _UNITS.get(text[-1:], 1.0)
    try:
        return float(text[:-1] if unit != 1.0 else text) * unit
    except (ValueError, OverflowError):
        return None
