"""A trained torch module as something that ``infer`` and sessions can call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from espnet3.components.data.collate import (
    CommonCollateFn,
    arrays_of,
    expects_uid,
    is_espnet2_collate,
)
from espnet3.components.modeling.batch import read_batch
from espnet3.errors import ConfigError, ModelOutputError
from espnet3.systems.base.train_config import load_train_config
from espnet3.utils.import_utils import trusted_target
from espnet3.utils.instantiate import instantiate_config
from espnet3.utils.printable import printable
from espnet3.utils.task_utils import build_task_or_target
from espnet3.utils.types import PathLike
from espnet3.utils.weights_utils import load_weights

logger = logging.getLogger(__name__)


@trusted_target
class TrainedModel:
    """Run the model of a training run or bundle on samples.

    The model is the one that ``train_config`` describes, filled with ``model_file``, and samples
    become a batch by the collate function of the training.

    Args:
        train_config: ``<exp_dir>/training.yaml`` (or its contents).
        model_file: Weights: ``.pth``, ``.ckpt`` or ``.safetensors``.
        device: Device of the model, for example ``cpu`` or ``cuda:0``.
        method: Method of the model. It gets the batch as keywords and returns one result per
            sample: a tensor whose first axis is the batch, or a list.
        recipe_dir: Where relative paths of ``train_config`` start; found from the file when
            ``None``, see :func:`~espnet3.systems.base.train_config.load_train_config`.

    Raises:
        ConfigError: If an argument or the configuration is wrong.
        WeightsError: If the weights do not fit the model.
    """

    def __init__(
        self,
        train_config: PathLike | Mapping[str, Any],
        model_file: PathLike,
        device: str = "cpu",
        method: str = "forward",
        recipe_dir: PathLike | None = None,
    ) -> None:
        config = load_train_config(train_config, recipe_dir, sections=("dataloader", "task"))
        self.model: nn.Module = build_task_or_target(config.get("task"), config["model"])
        load_weights(self.model, model_file)
        self.device = torch.device(device)
        self.model.to(self.device).eval().requires_grad_(False)
        if not callable(getattr(self.model, method, None)):
            name = type(self.model).__name__
            raise ConfigError(f"is not a method of {name}", key="model.method", value=method)
        self.method = method
        collate = (config.get("dataloader") or {}).get("collate_fn")
        self.collate_fn = (
            CommonCollateFn(int_pad_value=-1)
            if collate is None
            else instantiate_config(collate, key="dataloader.collate_fn")
        )
        logger.info(
            "Model ready: weights=%s device=%s method=%s",
            printable(model_file),
            self.device,
            method,
        )

    @torch.inference_mode()
    def __call__(self, **inputs: Any) -> Any:
        """Run the model on one sample, or on a list of values per keyword.

        Args:
            **inputs: Fields of the sample, arrays of any length; lists of them for a batch.

        Returns:
            The result of the sample; for a batch the list of results. Tensors are on the CPU.

        Raises:
            ModelOutputError: If the model does not return one result per sample.
        """
        is_batch = all(isinstance(value, list) for value in inputs.values())
        columns = inputs if is_batch else {name: [value] for name, value in inputs.items()}
        rows = zip(*columns.values(), strict=True)
        samples = [dict(zip(columns, row, strict=True)) for row in rows]
        output = getattr(self.model, self.method)(**self._collate(samples))
        if isinstance(output, Tensor):
            output = list(output.cpu()) if output.ndim else output
        if not isinstance(output, list) or len(output) != len(samples):
            got = f"{len(output)}" if isinstance(output, list) else f"a {type(output).__name__}"
            raise ModelOutputError(
                f"{type(self.model).__name__}.{self.method} got {len(samples)} samples and"
                f" returned {got}, not one result per sample\n"
                "  name a method of the model that does in model.method of inference.yaml"
            )
        return output if is_batch else output[0]

    def _collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        items: Any = samples
        if is_espnet2_collate(self.collate_fn):
            items = [arrays_of(sample) for sample in samples]
        if expects_uid(self.collate_fn):
            items = [(str(index), sample) for index, sample in enumerate(items)]
        _, batch = read_batch(self.collate_fn(items))
        return {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
