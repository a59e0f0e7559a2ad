"""A test set with its transform and the preprocessor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from espnet3.components.data.dataset_module import CarriesLocalModules
from espnet3.components.data.sample_index import Place
from espnet3.components.data.sample_steps import Step, describe_dataset, or_nothing, uid_of


class DatasetWithTransform(CarriesLocalModules, torch.utils.data.Dataset[Any]):
    """One data set with its transform and preprocessor; items are plain samples.

    Args:
        dataset: Data set with ``__len__`` and ``__getitem__``.
        transform: Applied first; ``None`` is the identity.
        preprocessor: Applied second; ``None`` is the identity.
        use_espnet_preprocessor: Call ``preprocessor(uid, sample)``, where the id is the index as
            a string.
        uid_key: Key of the raw sample that holds its id instead.
    """

    def __init__(
        self,
        dataset: Any,
        transform: Callable[..., Any] | None,
        preprocessor: Callable[..., Any] | None,
        use_espnet_preprocessor: bool = False,
        *,
        uid_key: str | None = None,
    ) -> None:
        self.dataset = dataset
        self.transform = or_nothing(transform)
        self.preprocessor = or_nothing(preprocessor)
        self.use_espnet_preprocessor = use_espnet_preprocessor
        self.uid_key = uid_key
        self._steps = (
            Step(transform, "transform", False),
            Step(preprocessor, "preprocessor", use_espnet_preprocessor),
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        sample = self.dataset[index]
        place = Place(0, index, str(index))
        uid = place.uid if self.uid_key is None else uid_of(sample, self.uid_key, place)
        for step in self._steps:
            sample = step(uid, sample, (0, 0))
        return sample

    def __call__(self, index: Any) -> Any:
        """Return ``self[index]``."""
        return self[index]

    def __repr__(self) -> str:
        inner = describe_dataset(self.dataset, len(self), self.transform, self.preprocessor)
        return f"DatasetWithTransform({inner})"
