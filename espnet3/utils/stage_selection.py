"""Which stages a request means, and in which order."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.stage_table import NAMED_STAGES, UPLOAD_STAGES

logger = logging.getLogger(__name__)


class UnknownStageError(ConfigError):
    """A stage was requested that the recipe's list does not have."""


def resolve_stages(requested: Sequence[str], stages: Sequence[str]) -> list[str]:
    """Put requested stages into the order of the stage list.

    Args:
        requested: Stage names in any order; ``all`` stands for the whole list without the stages
            that publish and ``pack_demo``, which run only when they are named.
        stages: The recipe's stages in the order in which they run.

    Raises:
        UnknownStageError: If a name is not in ``stages``; also a ``ValueError``.

    Example:
        >>> resolve_stages(["infer", "train", "train"], ["train", "infer", "measure"])
        ['train', 'infer']
    """
    unknown = [name for name in dict.fromkeys(requested) if name not in stages and name != "all"]
    if unknown:
        raise UnknownStageError(
            f"unknown stage(s): {', '.join(unknown)}",
            key="--stages",
            hint="\n  ".join(
                [*filter(None, (did_you_mean(n, stages) for n in unknown))]
                + [f"known stages: {', '.join(stages)}"]
            ),
        )
    if "all" not in requested:
        return [stage for stage in stages if stage in requested]
    left_out = [s for s in stages if s in NAMED_STAGES and s not in requested]
    uploads = [stage for stage in left_out if stage in UPLOAD_STAGES]
    if uploads:
        logger.info("not run, because publishing needs its stage's name: %s", ", ".join(uploads))
    return [stage for stage in stages if stage not in left_out]
