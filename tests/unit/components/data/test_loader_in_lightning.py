from __future__ import annotations

import warnings

import lightning
import pytest
import torch

from tests.unit.components.data.test_loader import make


class Recorder(lightning.LightningModule):
    """Notes what it is trained on, and saves a checkpoint after some step."""

    def __init__(self, save_at=None, path=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.save_at, self.path = save_at, path
        self.seen = []

    def training_step(self, batch, _):
        uids, tensors = batch
        self.seen.append((self.current_epoch, tuple(uids), tensors["x"].numpy().tobytes()))
        return (self.weight * tensors["x"].sum()).sum()

    def on_train_batch_end(self, *_):
        if self.trainer.global_step == self.save_at:
            self.trainer.save_checkpoint(self.path)
            self.trainer.should_stop = True

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)


def fit(model, ckpt_path=None, **options):
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )
    trainer.fit(model, make(**options), ckpt_path=ckpt_path)
    return model.seen


@pytest.fixture(scope="module")
def whole():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(Recorder())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("workers", "stop"), [(0, 4), (0, 9), (0, 10), (2, 13)])
def test_lightning_resumes_at_the_next_batch(tmp_path, whole, workers, stop):
    assert len(whole) == 3 * len(make())
    path = tmp_path / "mid.ckpt"
    before = fit(Recorder(stop, path), num_workers=workers)[:stop]
    after = fit(Recorder(), path, num_workers=workers)
    assert before + after == whole
