"""Show what decoding a test set would do, with its first samples and without writing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from espnet3.components.inference.model_mode import ModelMode
from espnet3.components.inference.records import as_names, iter_records
from espnet3.parallel.item_calls import bind_forward
from espnet3.parallel.worker_env import build_local_env
from espnet3.systems.base.settings import InferenceSettings

if TYPE_CHECKING:
    from espnet3.systems.base.inference_test_set import TestSet

logger = logging.getLogger(__name__)

_MAX_TEXT = 100


def show_trial(test_set: TestSet, settings: InferenceSettings) -> list[dict[str, Any]]:
    """Decode the first samples in this process and log what goes in and comes out.

    Returns:
        The records.

    Raises:
        Exception: What the data set, the model or the output function raises.
    """
    env = build_local_env(test_set.provider)
    mode = ModelMode(env["model"], settings.execution)
    forward = bind_forward(type(test_set.runner), env)
    logger.info(
        "Trial of %s: device=%s model=%s input_key=%s output_fn=%s",
        test_set.name,
        mode.device,
        type(env["model"]).__name__,
        ", ".join(as_names(settings.input_key)),
        settings.output_fn,
    )
    records: list[dict[str, Any]] = []
    size = settings.execution.limit or settings.batch_size or 1
    indices = list(range(min(size, test_set.num_samples)))
    for index in indices:
        logger.info("  sample %d: %s", index, describe(env["dataset"][index]))
    with mode():
        outputs = [forward(i) for i in indices] if not settings.batch_size else forward(indices)
    for record in iter_records(outputs):
        test_set.runner.resolve_idx_key(record)
        logger.info("  record: %s", describe(record))
        records.append(record)
    return records


def describe(value: Any) -> str:
    """Return a value as a short text, arrays by type and shape.

    Example:
        >>> describe({"text": "one two", "n": 3})
        "{text: 'one two', n: 3}"
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {describe(v)}" for k, v in value.items()) + "}"
    if getattr(value, "shape", ()) != ():
        return f"{value.dtype} {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
