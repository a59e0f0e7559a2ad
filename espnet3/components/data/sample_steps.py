"""What happens to a raw sample: transform and preprocessor, called with what they can take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from espnet3.components.data.espnet2_preprocessor import is_espnet2_preprocessor, split_sample
from espnet3.components.data.sample_index import Place
from espnet3.components.data.sample_rng import sample_rng, takes_rng
from espnet3.errors import DataError, SettingError


def do_nothing(*values: Any) -> Any:
    """Return the argument; several arguments come back as a tuple."""
    return values[0] if len(values) == 1 else values


class Step:
    """A transform or preprocessor, called with what it can take."""

    def __init__(self, function: Callable[..., Any] | None, name: str, wants_uid: bool) -> None:
        if function is None:
            function, wants_uid = do_nothing, False
        self.function: Callable[..., Any] = function
        if not callable(function):
            raise SettingError("must be callable", key=name, value=function)
        self.name = name
        self.wants_uid = wants_uid
        self.takes_rng = takes_rng(function)
        self.is_espnet2 = is_espnet2_preprocessor(function)

    def __call__(self, uid: str, sample: Any, rng_key: tuple[int, int] | None) -> Any:
        """Return the processed sample; ``rng_key`` is what its randomness is a function of."""
        if self.is_espnet2:
            sample, rest = split_sample(self.function, sample)
            return {**rest, **self.function(uid, sample)}
        arguments = (uid, sample) if self.wants_uid else (sample,)
        if not self.takes_rng:
            return self.function(*arguments)
        return self.function(*arguments, rng=_make_rng(rng_key, uid))


def _make_rng(rng_key: tuple[int, int] | None, uid: str) -> np.random.Generator:
    if rng_key is not None:
        return sample_rng(*rng_key, uid)
    # Outside the native loader randomness follows torch's generator, which DataLoader seeds per
    # worker and epoch.
    return np.random.default_rng(int(torch.randint(2**62, ())))


def describe_dataset(dataset: Any, length: int, transform: Any, preprocessor: Any) -> str:
    """Return one line about a data set, without touching a sample."""
    return (
        f"{type(dataset).__name__}(len={length}, transform={callable_name(transform)},"
        f" preprocessor={callable_name(preprocessor)})"
    )


def or_nothing(function: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return the function, or the identity in place of ``None``."""
    return do_nothing if function is None else function


def callable_name(function: Any) -> str:
    """Return the name of a function, or of the class of another callable."""
    return str(getattr(function, "__qualname__", type(function).__name__))


def uid_of(raw: Any, uid_key: str, place: Place) -> str:
    """Return the id that a raw sample holds under ``uid_key``.

    Raises:
        DataError: If it has no such key.
    """
    if uid_key not in raw:
        raise DataError(
            f"uid_key = {uid_key!r}: sample {place.local!r} of dataset {place.member} has no such"
            f" key (it has: {', '.join(map(str, raw))})"
        )
    return str(raw[uid_key])
