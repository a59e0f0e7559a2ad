"""The parallel configuration that is in force in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from espnet3.utils.config_utils import to_plain

_registered: DictConfig | None = None


def set_parallel(config: DictConfig | None) -> None:
    """Register the parallel configuration of this process.

    Args:
        config: ``parallel`` block, copied. ``None`` keeps what is registered, or registers one
            local worker if nothing is.

    Raises:
        TypeError: If ``config`` is neither a ``DictConfig`` nor ``None``.

    Example:
        >>> set_parallel(OmegaConf.create({"env": "local", "n_workers": 1}))
        >>> get_parallel_config().options
        {}
    """
    global _registered
    if config is None:
        if _registered is None:
            _registered = OmegaConf.create({"env": "local", "n_workers": 1, "options": {}})
        return
    if not isinstance(config, DictConfig):
        raise TypeError(f"set_parallel expects a DictConfig or None, got {type(config).__name__}")
    plain = to_plain(config)
    _registered = OmegaConf.create({**plain, "options": plain.get("options") or {}})


def get_parallel_config() -> DictConfig | None:
    """Return the registered configuration, ``None`` if none was ever registered."""
    return _registered


@contextlib.contextmanager
def preserve_parallel_config() -> Iterator[None]:
    """Put back, at the end of the block, the configuration that was registered before it."""
    global _registered
    previous = _registered
    try:
        yield
    finally:
        _registered = previous
