from __future__ import annotations

import pytest
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from espnet3.components.trainers.checkpoint_io import AtomicCheckpointIO
from tests.unit.components.trainers.test_trainer import make_trainer


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "exp" / "step2.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    original = torch.save

    def save_half(content, file):
        assert file.parent == path.parent
        original(content, file)
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(OSError, match="no space"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in path.parent.iterdir()] == ["step2.ckpt"]


class OwnCheckpointIO(TorchCheckpointIO):
    pass


def test_trainer_saves_atomically_unless_the_user_has_another_way(tmp_path):
    strategy = make_trainer(tmp_path).trainer.strategy
    assert isinstance(strategy.checkpoint_io, AtomicCheckpointIO)
    plugin = {"_target_": f"{__name__}.OwnCheckpointIO"}
    strategy = make_trainer(tmp_path, plugins=plugin).trainer.strategy
    assert isinstance(strategy.checkpoint_io, OwnCheckpointIO)
