"""Compare the sample rate of data with the one that a model is built for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from espnet3.components.data.dataset import CombinedDataset, do_nothing
from espnet3.components.data.preprocessor import CommonPreprocessor
from espnet3.errors import SettingError
from espnet3.utils.types import Hz

_KEY = "model.frontend.fs"


def check_sample_rates(dataset: Any, rate: Hz | None, split: str) -> None:
    """Check that data sets which know the rate of their speech have that of the model.

    A data set knows it if it has an attribute ``sample_rate`` that is not null. Behind a transform
    or a preprocessor of the user, which may resample, nobody can tell.

    Args:
        dataset: Split as the data organizer gives it.
        rate: Samples per second that the model takes; ``None`` if it does not say.
        split: ``train`` or ``valid``, for the message.

    Raises:
        SettingError: If a rate is another one.
    """
    if rate is None or not isinstance(dataset, CombinedDataset):
        return
    pairs = zip(dataset.datasets, dataset.transforms, strict=True)
    for number, (member, steps) in enumerate(pairs):
        found = getattr(member, "sample_rate", None)
        if found is not None and found != rate and not any(map(_may_resample, steps)):
            raise SettingError(
                f"the speech of dataset.{split}[{number}] has {found} samples per second",
                key=_KEY,
                value=rate,
                hint=f"set it to {found}, with windows that fit, or let the data set resample"
                f" to {rate}",
            )


def _may_resample(step: Callable[..., Any]) -> bool:
    return step is not do_nothing and type(step) is not CommonPreprocessor
