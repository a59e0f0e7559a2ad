"""``init_from``: the weights that a training starts from."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from espnet3.errors import MissingFileError
from espnet3.systems.base.settings import InitFromSettings

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)


def check_initial_weights(source: InitFromSettings | None) -> None:
    """Find out before the data are loaded that there is nothing to start from.

    Raises:
        MissingFileError: If the file does not exist.
    """
    if source is not None and not source.path.is_file():
        raise MissingFileError(
            "no such weight file",
            key="init_from.path",
            value=str(source.path),
            hint="run the training that writes it first",
        )


def load_initial_weights(model: nn.Module, source: InitFromSettings | None) -> None:
    """Fill a model in place and log what was loaded; ``None`` leaves it as it is.

    Raises:
        WeightsError: If the file does not fit the model.
    """
    if source is None:
        return
    from espnet3.utils.weights_utils import load_weights

    report = load_weights(
        model,
        source.path,
        strict=source.strict,
        include=source.include,
        exclude=source.exclude,
        rename=source.rename,
    )
    logger.info("init_from: %s", report)
