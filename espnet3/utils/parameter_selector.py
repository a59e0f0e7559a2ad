"""Choose parameters by fragments of their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from espnet3.errors import SettingError, did_you_mean


def matches(name: str, selector: str) -> bool:
    """Tell whether a dotted fragment occurs in a parameter name on dot boundaries.

    Example:
        >>> matches("model.encoder.0.weight", "encoder")
        True
        >>> matches("model.decoder_encoder.weight", "encoder")
        False
    """
    return f".{selector}." in f".{name}."


def matches_any(name: str, selectors: Iterable[str]) -> bool:
    """Tell whether at least one selector matches."""
    return any(matches(name, selector) for selector in selectors)


def select(names: Sequence[str], selectors: str | Sequence[str], *, key: str) -> list[str]:
    """Return the names that the selectors choose, in their given order.

    Args:
        names: Dotted parameter or module names.
        selectors: One selector or several.
        key: Configuration key that holds the selectors, for messages.

    Raises:
        SettingError: If a selector chooses nothing.
    """
    wanted = [selectors] if isinstance(selectors, str) else list(selectors)
    for selector in wanted:
        if not any(matches(name, selector) for name in names):
            parts = sorted({part for name in names for part in name.split(".")})
            raise SettingError(
                "no parameter of the model has this in its name",
                key=key,
                value=selector,
                hint=did_you_mean(selector, parts) or "top level: " + _top_level(names),
            )
    return [name for name in names if matches_any(name, wanted)]


def _top_level(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
