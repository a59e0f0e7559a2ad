"""The bridge from a torch module that returns a loss to Lightning."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from espnet3.components.data.collate import CommonCollateFn, expects_uid, is_espnet2_collate
from espnet3.components.data.collect_stats import collect_stats
from espnet3.components.data.dataloader import DataLoaderBuilder
from espnet3.components.data.model_call import call_with_batch
from espnet3.components.data.sample_rates import check_sample_rates
from espnet3.components.modeling.batch import read_batch
from espnet3.components.modeling.frozen import FrozenParts
from espnet3.components.modeling.logged_values import LoggedValues
from espnet3.components.modeling.loss_guard import BatchPlace, LossGuard
from espnet3.components.modeling.model_output import ModelOutput, build_criterion, read_output
from espnet3.components.modeling.model_summary import build_model_summary
from espnet3.components.modeling.settings import ModuleSettings, stats_arguments
from espnet3.components.optimizers.settings import read_optimization
from espnet3.components.optimizers.single import build_optimizer, build_scheduler
from espnet3.errors import ConfigError, WeightsError
from espnet3.utils.config_utils import instantiate_config
from espnet3.utils.settings import parse_settings
from espnet3.utils.weights_utils import describe_misfit, fit_prefix

logger = logging.getLogger(__name__)


class ESPnetLightningModule(lightning.LightningModule):
    """Train a model that returns ``loss, stats, weight``.

    Reads data set, data loaders, optimizer and scheduler from the training configuration. Batches
    arrive as ``(uids, batch)`` and reach the model as ``model(**batch)``; metrics are logged as
    ``train/<name>`` and ``valid/<name>`` and stay on the device. State dictionaries are those of
    the bare model.

    Args:
        model: Model to train; see the model contract for what it may return.
        config: The whole training configuration, mapping or ``DictConfig``. Never modified.

    Raises:
        MissingConfigError: If there is no ``dataset``.
        SettingError: If settings contradict each other.

    Attributes:
        train_dataset: Training split.
        valid_dataset: Validation split.
        collate_fn: Makes a batch of samples.
        is_espnet_sampler: Whether batches come from an ``iter_factory``.
        step_metrics: Values logged in the current step; detached, on their device.
    """

    def __init__(self, model: nn.Module, config: Any) -> None:
        super().__init__()
        self.config = config
        self._settings = parse_settings(config, ModuleSettings, key="")
        self.model = model
        self._criterion = build_criterion(self._settings.criterion)
        self._frozen = FrozenParts(model, self._settings.frozen)
        self._loss_guard = LossGuard()
        self.step_metrics: dict[str, Any] = {}
        self._logged_values = LoggedValues()
        dataset = self._settings.dataset
        if isinstance(dataset, Mapping):
            dataset = instantiate_config(dataset, key="dataset")
        if callable(getattr(dataset, "log_summary", None)):
            dataset.log_summary()
        self.train_dataset = dataset.train
        self.valid_dataset = dataset.valid
        for split in ("train", "valid"):
            check_sample_rates(getattr(dataset, split), self.sample_rate, split)
        collate = (self._settings.dataloader or {}).get("collate_fn")
        self.collate_fn = (
            CommonCollateFn(int_pad_value=-1)
            if collate is None
            else instantiate_config(collate, key="dataloader.collate_fn")
        )
        self.is_espnet_sampler = self._settings.uses_iterators("train")

    @property
    def sample_rate(self) -> int | None:
        """Samples per second that the front end of the model is built for, where it says so."""
        rate = getattr(getattr(self.model, "frontend", None), "fs", None)
        return rate if isinstance(rate, int) else None

    @property
    def nan_countdown(self) -> int:
        """Invalid losses in a row: 0 before the first batch, 1 after a valid one."""
        return self._loss_guard.countdown

    @nan_countdown.setter
    def nan_countdown(self, value: int) -> None:
        self._loss_guard.countdown = value

    def forward(self, **batch: Any) -> Any:
        """Call the model."""
        return self.model(**batch)

    def train(self, mode: bool = True) -> ESPnetLightningModule:
        """Set training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        self._frozen.enforce()
        return self

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move the tensors of a batch; ids stay as they are and are not searched for tensors."""
        if isinstance(batch, tuple | list) and len(batch) == 2:
            return batch[0], super().transfer_batch_to_device(batch[1], device, dataloader_idx)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch, or ``None`` if the batch is skipped (CPU)."""
        uids, content = read_batch(batch)
        output = self._run_model(content)
        self.step_metrics.clear()
        flag = self._loss_guard.flag(output.loss)
        place = BatchPlace(self.current_epoch, batch_idx, uids)
        if isinstance(flag, bool):
            self._loss_guard.settle(flag, place)
            if flag:
                return None
        else:
            self._loss_guard.defer(flag, place)
        self._log_output("train", output, len(uids), None)
        return output.loss

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch, or ``None`` if it is not finite (CPU)."""
        uids, content = read_batch(batch)
        output = self._run_model(content)
        self.step_metrics.clear()
        flag = self._loss_guard.flag(output.loss)
        if flag is True:
            logger.warning("Validation batch %d has a loss that is not finite", batch_idx)
            return None
        self._log_output("valid", output, len(uids), None if flag is False else flag)
        return output.loss

    def _run_model(self, content: Mapping[str, Any]) -> ModelOutput:
        result = call_with_batch(self.model, content, f"{type(self.model).__name__}.forward")
        return read_output(result, content, self._criterion)

    def _log_output(self, mode: str, output: ModelOutput, count: int, bad: Tensor | None) -> None:
        """Log one batch; ``bad`` is a flag on the device that takes the batch out of means."""
        values, weight = self._logged_values.of(mode, output, bad)
        if self._trainer is None or not values:
            return
        options: dict[str, Any] = {"prog_bar": True, "logger": True, "sync_dist": mode == "valid"}
        if weight is not None:
            options["batch_size"] = weight
        elif self.trainer._results is not None:
            # Without this Lightning guesses, and takes the length of the first id for it.
            mean_weight: Any = count or 1
            if bad is not None:
                mean_weight = torch.where(bad, 0.0, float(mean_weight))
            self.trainer._results.batch_size = mean_weight
        self.log_dict(values, **options)

    def log(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """Log a value and remember it for callbacks that average over batches."""
        self.step_metrics[name] = value
        super().log(name, value, *args, **kwargs)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Cancel the update where the loss was not finite (accelerators)."""
        self._loss_guard.neutralise(optimizer)

    def on_train_epoch_end(self) -> None:
        """Count the last step of the epoch."""
        self._loss_guard.flush()

    def configure_optimizers(self) -> Any:
        """Build the optimizer and, if configured, the schedule.

        Raises:
            SettingError: If the optimization settings cannot work.
        """
        settings = read_optimization(self.config)
        optimizer = build_optimizer(self.model, settings.optimizer)
        scheduler = build_scheduler(optimizer, settings)
        if scheduler is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def train_dataloader(self) -> Any:
        """Build the loader of the training split."""
        return self._build_loader(self.train_dataset, "train")

    def val_dataloader(self) -> Any:
        """Build the loader of the validation split."""
        return self._build_loader(self.valid_dataset, "valid")

    def _build_loader(self, dataset: Any, mode: str) -> Any:
        if dataset is None:
            raise ConfigError("has no data", key=f"dataset.{mode}")
        with contextlib.suppress(AttributeError):  # A list, for example, has no such switch.
            dataset.use_espnet_collator = bool(expects_uid(self.collate_fn))
            dataset.gives_arrays_only = is_espnet2_collate(self.collate_fn)
        return DataLoaderBuilder(
            dataset=dataset,
            config=self.config,
            collate_fn=self.collate_fn,
            num_device=self._settings.num_device or 1,
            epoch=self.current_epoch if self._trainer else 0,
        ).build(mode=mode)

    def collect_stats(self) -> None:
        """Write lengths and feature statistics of the training and validation data.

        Raises:
            SettingError: If ``stats_dir`` is not set.
            AttributeError: If the model has no ``collect_feats``.
        """
        for arguments in stats_arguments(self._settings):
            collect_stats(**arguments)

    def state_dict(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the state of the bare model."""
        return cast("dict[str, Any]", self.model.state_dict(*args, **kwargs))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let ESPnet2 find the weights of a task's model: it takes those under ``module``.

        Without them it would load nothing, say nothing, and decode with random weights. The number
        of parameters, which the tensors do not tell because buffers are among them, is kept too.
        """
        checkpoint["num_parameters"] = sum(p.numel() for p in self.model.parameters())
        if self._settings.others.get("task"):
            checkpoint["module"] = checkpoint["state_dict"]

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load the state of the bare model; a uniform ``model.`` before the names is dropped.

        Raises:
            WeightsError: If the tensors are not those of the model.
        """
        own = self.model.state_dict()
        state = fit_prefix(state_dict, own)
        try:
            return self.model.load_state_dict(state, strict=strict, assign=assign)
        except RuntimeError as error:
            misfit = describe_misfit(own, state)
            if not misfit:
                raise
            raise WeightsError(f"the tensors are not those of the model\n{misfit}") from error


__all__ = ["ESPnetLightningModule", "build_model_summary"]
