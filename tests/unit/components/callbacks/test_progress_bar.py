from __future__ import annotations

import types

import torch

from espnet3.components.callbacks.default_callbacks import get_default_callbacks
from espnet3.components.callbacks.progress_bar import EpochProgressBar


def test_bar_shows_losses_and_what_checkpoints_are_chosen_by(tmp_path):
    callbacks = get_default_callbacks(tmp_path, best_model_criterion=[["valid/wer", 1, "min"]])
    savers = [callback for callback in callbacks if hasattr(callback, "monitor")]
    names = ("train/loss", "train/loss_ctc", "valid/loss", "valid/wer", "valid/cer_ctc")
    trainer = types.SimpleNamespace(
        checkpoint_callbacks=savers,
        loggers=[types.SimpleNamespace(version=3)],
        progress_bar_metrics={name: torch.tensor(1.0) for name in names},
    )
    shown = EpochProgressBar().get_metrics(trainer, None)
    assert list(shown) == ["train/loss", "valid/loss", "valid/wer"]
