"""Read the utterances."""

from __future__ import annotations

from pathlib import Path

from espnet3.components.data.manifest import ManifestDataset
from espnet3.errors import DataError

from .layout import RECIPE_DIR, load_layout


class MiniAn4Dataset(ManifestDataset):
    """Utterances of a split: ``{"utt_id": str, "speech": float32 (samples,), "text": str}``.

    Args:
        split: ``train``, ``valid`` or ``test``.
        recipe_dir: Root of the recipe; by default the one that this module belongs to.
        data_dir: The folder that ``create_dataset`` filled, by default ``data`` in the recipe.

    Raises:
        DataError: If there is no such split.
        FileNotFoundError: If the split has not been built.
    """

    def __init__(
        self, split: str, recipe_dir: str | None = None, data_dir: str | None = None
    ) -> None:
        layout = load_layout()
        manifests = layout.dataset.split_manifest_paths
        if split not in manifests:
            raise DataError(f"no split {split!r} (there are {', '.join(manifests)})")
        folder = data_dir or Path(recipe_dir or RECIPE_DIR, layout.builder.data_path)
        super().__init__(Path(folder, manifests[split]), fs=16000)
