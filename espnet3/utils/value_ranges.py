"""Ranges of numbers that a type cannot say, of keys without a settings class. Data and a check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from espnet3.errors import ConfigError, SettingError
from espnet3.utils.config_merge import walk
from espnet3.utils.config_sources import indexed_key


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers that a key may hold."""

    text: str
    """What a value must be, for the message."""
    low: float
    """Least number."""
    high: float = float("inf")
    """Greatest number."""
    is_above: bool = False
    """Whether ``low`` itself is excluded."""
    also: tuple[int, ...] = ()
    """Numbers outside with a meaning of their own."""

    def __contains__(self, value: Any) -> bool:
        is_inside = self.low <= value <= self.high and not (self.is_above and value == self.low)
        return is_inside or value in self.also


_NATURAL = Range(text="must be at least 1", low=1)
_NOT_NEGATIVE = Range(text="must not be negative", low=0)
_POSITIVE = Range(text="must be positive", low=0, is_above=True)
_SHARE = Range(text="must lie between 0 and 1", low=0, high=1)

_DEVICES = Range(text="must be at least 1, or -1 for all devices", low=1, also=(-1,))

_KEYS: dict[str, Range] = {
    r"training:num_device": _DEVICES,
    r"training:num_nodes": _NATURAL,
    r"training:seed": _NOT_NEGATIVE,
    r"training:rank_timeout": _POSITIVE,
    r"training:optimizer\.(param_groups\.\d+\.)?lr": _POSITIVE,
    r"training:dataloader\.\w+\.iter_factory\.num_workers": _NOT_NEGATIVE,
    r"training:dataloader\.\w+\.iter_factory\.batches\.(max_)?batch_size": _NATURAL,
    r"inference:batch_size": _NATURAL,
}
"""``slot:key`` (a regular expression) to what it may hold."""

_ARGUMENTS: dict[str, Range] = {
    r"num_blocks|beam(_size)?|nbest|batch_size": _NATURAL,
    r"output_size|attention_heads|linear_units|cnn_kernel|subsampling_channels": _NATURAL,
    r"fs|n_fft|win_length|hop_length|n_mels": _NATURAL,
    r"(\w+_)?dropout_rate|layer_drop": _SHARE,
}
"""Argument of a class of ours (a regular expression) to what it may hold."""


def check_ranges(
    plain: Mapping[Any, Any], slot: str, reported: Collection[str | None] = ()
) -> Iterator[ConfigError]:
    """Check numbers of one configuration, but for keys that are reported already.

    Args:
        plain: Raw or resolved content of a slot.
        slot: Name of the slot without ``_config``.
        reported: Keys with another mistake.
    """
    for path, value in walk(plain):
        if indexed_key(path) not in reported:
            yield from _check(value, _KEYS, f"{slot}:{path}", indexed_key(path))


def check_argument_range(value: Any, owner: str, name: str, key: str) -> Iterator[ConfigError]:
    """Check a number that an argument of a class or function of ours gets.

    Args:
        value: Plain value of a fitting type.
        owner: Dotted path of the class or function.
        name: Name of the argument.
        key: Dotted key, for messages.
    """
    if owner.startswith("espnet3."):
        yield from _check(value, _ARGUMENTS, name, key)


def _check(value: Any, table: Mapping[str, Range], name: str, key: str) -> Iterator[ConfigError]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    for pattern, allowed in table.items():
        if re.fullmatch(pattern, name) and value not in allowed:
            yield SettingError(allowed.text, key=key, value=value)
