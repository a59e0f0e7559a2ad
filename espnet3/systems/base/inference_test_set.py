"""One test set on its way to disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.systems.base.inference_runner import InferenceRunner
from espnet3.systems.base.settings import InferenceSettings


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """A test set, and what decodes it."""

    __test__ = False

    name: str
    folder: Path
    num_samples: int
    parts: Mapping[str, str]
    """Digests of what the outputs depend on."""
    dataset: Any
    provider: Any
    runner: Any

    @property
    def works_by_index(self) -> bool:
        """Whether batches can go to ``forward`` one by one, because the runner is called so."""
        is_stock = type(self.runner).__call__ is InferenceRunner.__call__
        return is_stock and self.runner.output_dir is None

    def keeps_earlier(self, settings: InferenceSettings) -> bool:
        """Tell whether what an interrupted run has decoded is not decoded again."""
        return settings.reuses_finished_run and self.works_by_index
