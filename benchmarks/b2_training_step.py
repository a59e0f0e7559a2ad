"""B2: what a training step costs beyond the model.

Three ways to train the same tiny model on the same batches: a plain torch loop, Lightning with a
module as its users write it (default checkpoint callback, CSV logger), and our module and trainer
with all their default callbacks and the same logger. Each logs the loss every 50 steps. One thread;
CPU time, which is the wall time of an idle machine. Target: ours at most 1.10 times bare Lightning,
and at most 1 ms more.

    python benchmarks/b2_training_step.py [--steps 300] [--repeats 15]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import interleave, machine_load, median_ratio, pin_threads

pin_threads()

import lightning  # noqa: E402
import torch  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

from espnet3.components.modeling.lightning_module import ESPnetLightningModule  # noqa: E402
from espnet3.components.trainers.quiet import quiet_lightning  # noqa: E402
from espnet3.components.trainers.trainer import ESPnet3LightningTrainer  # noqa: E402

LOG_EVERY = 50
SIZE = 64


class Batches(torch.utils.data.Dataset[Any]):
    """Ready-made batches, so that reading data costs nothing."""

    def __init__(self, steps: int) -> None:
        self.batches = [
            (["a", "b", "c", "d"], {"x": torch.randn(4, SIZE), "y": torch.randn(4, 1)})
            for _ in range(8)
        ]
        self.steps = steps
        self.use_espnet_collator = False

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> Any:
        return self.batches[index % len(self.batches)]


class Organizer:
    """The data set of the configuration."""

    def __init__(self, steps: int) -> None:
        self.train = Batches(steps)
        self.valid = Batches(2)


class Tiny(torch.nn.Module):
    """About the smallest model that is one."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(SIZE, SIZE), torch.nn.ReLU(), torch.nn.Linear(SIZE, 1)
        )

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        loss = torch.nn.functional.mse_loss(self.net(x), y)
        return loss, {"loss": loss.detach()}, x.shape[0]


class BareModule(lightning.LightningModule):
    """What a Lightning user would write."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.model = Tiny()
        self.steps = steps

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss, _, weight = self.model(**batch[1])
        self.log("train/loss", loss, prog_bar=True, batch_size=weight)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(Batches(self.steps), batch_size=None)


class Clock(lightning.Callback):
    """Time from the first to the last batch, without set-up; the first 50 batches warm up."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == LOG_EVERY:
            self.began = time.process_time()

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.ended = time.process_time()


def torch_step(steps: int) -> float:
    torch.manual_seed(0)
    model = Tiny()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for index, (_, batch) in enumerate(
        torch.utils.data.DataLoader(Batches(steps), batch_size=None)
    ):
        if index == LOG_EVERY:
            began = time.process_time()
        loss, _, _ = model(**batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (index + 1) % LOG_EVERY == 0:
            loss.item()
    return (time.process_time() - began) / (steps - LOG_EVERY)


def lightning_step(steps: int, folder: str) -> float:
    torch.manual_seed(0)
    clock = Clock()
    with quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=CSVLogger(folder),
            enable_model_summary=False,
            enable_progress_bar=False,
            log_every_n_steps=LOG_EVERY,
            callbacks=[clock],
            default_root_dir=folder,
        )
        trainer.fit(BareModule(steps))
    return (clock.ended - clock.began) / (steps - LOG_EVERY)


def our_step(steps: int, folder: str) -> float:
    torch.manual_seed(0)
    clock = Clock()
    config = {
        "exp_dir": folder,
        "dataset": Organizer(steps),
        "dataloader": {
            "train": {"batch_size": None},
            "valid": {"batch_size": None},
        },
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-3},
    }
    section = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": CSVLogger(folder),
        "enable_progress_bar": False,
        "limit_val_batches": 0,
        "log_every_n_steps": LOG_EVERY,
        "callbacks": [clock],
    }
    module = PlainLoader(Tiny(), config)
    ESPnet3LightningTrainer(module, folder, section).fit()
    return (clock.ended - clock.began) / (steps - LOG_EVERY)


class PlainLoader(ESPnetLightningModule):
    """Our module on the very loader of the other two."""

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self.train_dataset, batch_size=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("espnet3").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        results = interleave(
            {
                "torch": lambda: torch_step(args.steps),
                "lightning": lambda: lightning_step(args.steps, folder),
                "espnet3": lambda: our_step(args.steps, folder),
            },
            args.repeats,
        )
    for name, values in results.items():
        print(f"{name:10s} {1000 * statistics.median(values):.3f} ms per step")
    difference = statistics.median(
        a - b for a, b in zip(results["espnet3"], results["lightning"], strict=True)
    )
    print(f"espnet3 / lightning  {median_ratio(results, 'espnet3', 'lightning'):.3f}  (aim 1.10)")
    print(f"espnet3 - lightning  {1000 * difference:+.3f} ms  (aim 1 ms)")
    print(f"espnet3 / torch      {median_ratio(results, 'espnet3', 'torch'):.3f}")
    print(machine_load())


if __name__ == "__main__":
    main()
