"""A tiny model and data set for tests of training."""

from __future__ import annotations

import types
from typing import Any

import torch


class ToyData(torch.utils.data.Dataset):
    """Points on a line; items look like those of ``CombinedDataset``."""

    def __init__(self, count: int, start: int = 0) -> None:
        generator = torch.Generator().manual_seed(start)
        self.x = torch.randn(count, 4, generator=generator)
        self.start = start
        self.use_espnet_collator = False

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        sample = {"x": self.x[index].numpy(), "y": self.x[index, :1].numpy() * 2}
        uid = f"utt{self.start + index}"
        return (uid, sample) if self.use_espnet_collator else sample


class ToyOrganizer:
    def __init__(self, count: int = 8) -> None:
        self.train = ToyData(count)
        self.valid = ToyData(4, start=100)


class ToyModel(torch.nn.Module):
    def __init__(self, hidden: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(4, hidden)
        self.norm = torch.nn.BatchNorm1d(hidden)
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(hidden, 1)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.norm(self.encoder(x))))

    def forward(self, x: torch.Tensor, y: torch.Tensor, **_: Any) -> Any:
        loss = torch.nn.functional.mse_loss(self.predict(x), y)
        return loss, {"loss": loss.detach(), "none": None}, x.shape[0]


class ToyLogits(ToyModel):
    """Returns raw outputs, as a model from a plain PyTorch script does."""

    def forward(self, x: torch.Tensor, **batch: Any) -> torch.Tensor:
        return self.predict(x)


def toy_criterion(output: torch.Tensor, batch: Any) -> torch.Tensor:
    return torch.nn.functional.mse_loss(output, batch["y"])


def return_object(loss: torch.Tensor) -> Any:
    return types.SimpleNamespace(loss=loss, logits=torch.zeros(2, 2), accuracy=torch.tensor(0.5))


HERE = __name__


def toy_config(exp_dir: Any, **changes: Any) -> dict[str, Any]:
    """Return a complete training configuration as a plain dict."""
    loader = {"batch_size": 4, "num_workers": 0}
    config: dict[str, Any] = {
        "exp_dir": str(exp_dir),
        "num_device": 1,
        "seed": 0,
        "model": {"_target_": f"{HERE}.ToyModel"},
        "dataset": {"_target_": f"{HERE}.ToyOrganizer"},
        "dataloader": {"train": {**loader, "shuffle": True}, "valid": dict(loader)},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.05},
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 2,
            "logger": False,
            "enable_progress_bar": False,
        },
    }
    config.update(changes)
    return config
