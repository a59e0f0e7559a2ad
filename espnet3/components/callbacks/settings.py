"""The key ``best_model_criterion``; torch is not needed to check it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from espnet3.errors import ConfigError, SettingError
from espnet3.utils.config_utils import to_plain
from espnet3.utils.settings import parse_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class BestModelCriterion:
    """Which checkpoints are kept and averaged."""

    monitor: str
    """Metric, for example ``valid/loss``."""
    top_k: int = 3
    """Number of checkpoints to keep."""
    mode: Literal["min", "max"] = "min"
    """Whether small or large values are good."""

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise SettingError(
                "must be at least 1", key="best_model_criterion.top_k", value=self.top_k
            )


DEFAULT_CRITERIA = (BestModelCriterion(monitor="valid/loss"),)


def read_criteria(criteria: Any) -> tuple[BestModelCriterion, ...]:
    """Read ``best_model_criterion``: a list of ``[metric, top_k, mode]`` or of mappings.

    Raises:
        ConfigError: If an item has another form.
    """
    if criteria is None:
        return DEFAULT_CRITERIA
    read = []
    for index, item in enumerate(to_plain(criteria)):
        key = f"best_model_criterion[{index}]"
        if not isinstance(item, Mapping):
            if not isinstance(item, list | tuple) or len(item) != 3:
                raise ConfigError("must be [metric, top_k, min or max]", key=key, value=item)
            item = dict(zip(("monitor", "top_k", "mode"), item, strict=True))
        read.append(parse_settings(item, BestModelCriterion, key=key))
    return tuple(read)
