"""What the stages of the base system call; imported only then, because of ``--help``."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def load_dataset_module(**reference: Any) -> ModuleType:
    """Call :func:`espnet3.components.data.dataset_module.load_dataset_module`."""
    from espnet3.components.data import dataset_module

    return dataset_module.load_dataset_module(**reference)


def collect_stats(config: Any) -> Any:
    """Call :func:`espnet3.systems.base.training.collect_stats`."""
    from espnet3.systems.base import training

    return training.collect_stats(config)


def train(config: Any) -> Any:
    """Call :func:`espnet3.systems.base.training.train`."""
    from espnet3.systems.base import training

    return training.train(config)


def infer(config: Any) -> Any:
    """Call :func:`espnet3.systems.base.inference.infer`."""
    from espnet3.systems.base import inference

    return inference.infer(config)


def measure(config: Any) -> Any:
    """Call :func:`espnet3.systems.base.metric.measure`."""
    from espnet3.systems.base import metric

    return metric.measure(config)
