"""Random numbers for augmentation that depend on the utterance, not on who reads it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np


def sample_rng(seed: int, epoch: int, uid: str) -> np.random.Generator:
    """Return the generator of one utterance in one epoch.

    It is the same in every process, for any number of workers and ranks, and after a resume.
    """
    key = blake2b(f"{seed}/{epoch}/{uid}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def takes_rng(function: Callable[..., Any]) -> bool:
    """Tell whether ``function`` has a parameter named ``rng``."""
    try:
        return "rng" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-ins without a signature
        return False
