"""Decode with ESPnet2's transducers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espnet3.components.inference.backend import build_model
from espnet3.publication.session_inputs import espnet2_rate
from espnet3.utils.import_utils import trusted_target

_BACK_END = "espnet2.bin.asr_transducer_inference.Speech2Text"


@trusted_target
class TransducerRecognizer:
    """ESPnet2's recogniser for transducers, with texts as results.

    Args:
        asr_train_config: ``config.yaml`` of the experiment.
        asr_model_file: Weights.
        device: Where to run.
        beam_size: Hypotheses to keep.
        nbest: Results to return.
        beam_search_config: Further options of the search.

    Raises:
        MissingDependencyError: If ESPnet2 is not installed.
        WeightsError: If the weights are not those of the model.
    """

    def __init__(
        self,
        asr_train_config: str | Path,
        asr_model_file: str | Path,
        device: str = "cpu",
        beam_size: int = 5,
        nbest: int = 1,
        beam_search_config: dict[str, Any] | None = None,
    ) -> None:
        model = {
            "_target_": _BACK_END,
            "asr_train_config": str(asr_train_config),
            "asr_model_file": str(asr_model_file),
            "beam_size": beam_size,
            "nbest": nbest,
            "beam_search_config": beam_search_config,
        }
        # Not by itself: this also makes sure that the weights are those of the file.
        self.recognizer = build_model({"model": model, "device": device})

    @property
    def sample_rate(self) -> int | None:
        """Samples per second that the front end expects; ``None`` when it takes features."""
        return espnet2_rate(self.recognizer)

    def __call__(self, speech: Any) -> tuple[str, list[str], list[int], Any]:
        """Return text, tokens, token ids and hypothesis of the best result.

        Args:
            speech: Waveform, float, shape ``(samples,)``.
        """
        results = self.recognizer.hypotheses_to_results(self.recognizer(speech))
        best: tuple[str, list[str], list[int], Any] = results[0]
        return best
