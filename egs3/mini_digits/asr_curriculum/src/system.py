"""The workflow: two training phases instead of one, and a look at the mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espnet3.systems.asr.system import ASRSystem
from espnet3.systems.base.training import train
from espnet3.utils.path_utils import write_text
from espnet3.utils.scp_utils import read_scp


class CurriculumSystem(ASRSystem):
    """Speech recognition with the stages ``train_easy``, ``train_full`` and ``export_debug``.

    The full phase is the experiment: whatever asks for the training configuration gets
    ``training_full_config``.

    Args:
        training_easy_config: For ``train_easy``.
        training_full_config: For ``train_full`` and the stages that prepare data.
        inference_config: For ``infer`` and ``export_debug``.
        metrics_config: For ``measure``.
        publication_config: For ``pack_model`` and ``upload_model``.
        demo_config: For ``pack_demo`` and ``upload_demo``.
    """

    DISTRIBUTED_STAGES = ("train_easy", "train_full")

    def __init__(
        self,
        training_easy_config: Any = None,
        training_full_config: Any = None,
        inference_config: Any = None,
        metrics_config: Any = None,
        publication_config: Any = None,
        demo_config: Any = None,
    ) -> None:
        super().__init__(
            training_config=training_full_config,
            inference_config=inference_config,
            metrics_config=metrics_config,
            publication_config=publication_config,
            demo_config=demo_config,
            stage_log_mapping={
                "train_easy": "training_easy_config.exp_dir",
                "train_full": "training_full_config.exp_dir",
            },
        )
        self.training_easy_config = training_easy_config
        self.training_full_config = training_full_config

    def train_easy(self) -> None:
        """Train on short strings."""
        self._train_with(self.training_easy_config)

    def train_full(self) -> None:
        """Train on everything, from the weights of the easy phase."""
        self._train_with(self.training_full_config)

    def export_debug(self) -> Path:
        """Write the utterances that the model got wrong to ``<exp_dir>/debug_export/errors.tsv``.

        Returns:
            The folder.
        """
        inference_dir = Path(self.inference_config.inference_dir)
        output_dir = Path(self.inference_config.exp_dir) / "debug_export"
        output_dir.mkdir(parents=True, exist_ok=True)
        lines = ["test set\tutterance\treference\thypothesis"]
        for test_set in sorted(path.parent for path in inference_dir.glob("*/hyp.scp")):
            references = dict(read_scp(test_set / "ref.scp"))
            lines += [
                f"{test_set.name}\t{utt_id}\t{references[utt_id]}\t{hypothesis}"
                for utt_id, hypothesis in read_scp(test_set / "hyp.scp")
                if hypothesis != references[utt_id]
            ]
        write_text(output_dir / "errors.tsv", "\n".join(lines) + "\n")
        return output_dir

    def _train_with(self, config: Any) -> None:
        original, self.training_config = self.training_config, config
        try:
            train(self.training_config)
        finally:
            self.training_config = original
