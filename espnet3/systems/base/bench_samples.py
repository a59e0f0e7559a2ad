"""A data set and models that need no files, for the benchmark of the inference engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

_ROUNDS = 2000


class Numbers:
    """A data set whose samples cost nothing."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"utt_id": f"utt{index:07d}", "number": index}


class NumberSets:
    """Test sets of numbers."""

    def __init__(self, test: Sequence[Mapping[str, Any]]) -> None:
        self.test = {entry["name"]: Numbers(entry["count"]) for entry in test}


class Trivial:
    """A model that does nothing."""

    def __call__(self, number: int) -> dict[str, Any]:
        """Return the record of a sample."""
        return {"utt_id": f"utt{number:07d}", "hyp": "a few words of text"}


class Busy(Trivial):
    """A model that keeps one core busy for about a millisecond, and needs no memory for that."""

    def __call__(self, number: int) -> dict[str, Any]:
        """Return the record of a sample, after a while."""
        hashlib.pbkdf2_hmac("sha256", b"speech", b"", _ROUNDS)
        return super().__call__(number)


def make_config(model: type[Any], count: int) -> dict[str, Any]:
    """Return the content of an inference.yaml that needs no files."""
    return {
        "recipe_dir": ".",
        "dataset": {"_target_": f"{__name__}.NumberSets", "test": [{"name": "n", "count": count}]},
        "model": {"_target_": f"{__name__}.{model.__name__}"},
        "input_key": "number",
        "output_keys": ["hyp"],
        "provider": {"_target_": "espnet3.systems.base.inference_provider.InferenceProvider"},
        "runner": {"_target_": "espnet3.systems.base.inference_runner.InferenceRunner"},
    }
