"""Keep messages of Lightning that tell our users nothing out of their console."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

_NOISE = (
    r"The '.*dataloader' does not have many workers",
    r"The number of training batches .* is smaller than the logging interval",
    r"Checkpoint directory .* exists and is not empty",
    r"Starting from v1.9.0, `tensorboardX` has been removed",
    r"Experiment logs directory .* exists and is not empty",
    r"You called `self.log\(.*logger=True\)` but have no logger configured",
    # Lightning's own use of torch.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # We have already said which batch was skipped, and frozen parts are meant to be in eval mode.
    r"`training_step` returned `None`",
    r"Found \d+ module\(s\) in eval mode at the start of training",
)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide hardware lines, tips and hints of Lightning inside the block; real warnings stay."""
    names = ("lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        for name in names:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
