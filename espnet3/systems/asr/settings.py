"""What the ASR system reads from ``training.yaml`` beyond the base system."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from espnet3.utils.settings import rest

_LAYERS = "espnet3.components.layers"
PART_TYPES: dict[str, dict[str, str]] = {
    "frontend": {"log_mel": f"{_LAYERS}.LogMelFrontend"},
    "specaug": {
        "specaug": f"{_LAYERS}.SpecAug",
        "speaker_perturb": f"{_LAYERS}.SpeakerPerturb",
    },
    "normalize": {
        "global_mvn": f"{_LAYERS}.GlobalMVN",
        "utterance_mvn": f"{_LAYERS}.UtteranceMVN",
    },
    "encoder": {"conformer": f"{_LAYERS}.ConformerEncoder"},
}
"""For each part of the model, the values of ``type`` and the classes that they stand for."""

MODEL_STATS = ("loss", "loss_ctc", "ctc_infeasible", "cer_ctc", "wer")
"""What ``ASRModel`` reports; each is logged as ``train/<name>`` and ``valid/<name>``."""

PARAMETER_PARTS = (
    *("encoder", "subsampling", "blocks", "ctc", "weight", "bias"),
    *("attention", "qkv", "convolution", "convs", "depthwise", "gated", "out", "projection"),
    *("feed_forward_in", "feed_forward_out", "norm", "norm_in"),
)
"""What stands between the dots of the parameter names of ``ASRModel``, besides numbers."""

TokenizerType = Literal["bpe", "unigram", "char", "word"]


@dataclass(frozen=True, kw_only=True)
class TextBuilderSettings:
    """Section ``tokenizer.text_builder``: where the training text of the tokenizer comes from."""

    func: str | None = None
    """Dotted path of a function that returns a text file or an iterable of sentences."""
    arguments: dict[str, Any] = rest("keyword arguments of `func`")


@dataclass(frozen=True, kw_only=True)
class TokenizerSettings:
    """Section ``tokenizer`` of ``training.yaml``."""

    model_type: TokenizerType
    vocab_size: int
    """Final number of symbols, including ``<blank>``, ``<unk>`` and ``<sos/eos>``."""
    save_path: Path
    """Folder of the trained tokenizer."""
    hard_vocab_limit: bool = True
    """Stop if the text cannot give ``vocab_size`` symbols; false takes as many as it gives."""
    character_coverage: float | None = None
    """Share of the text's characters that get a symbol; the rest becomes ``<unk>``."""
    user_defined_symbols: tuple[str, ...] | None = None
    """Strings that always stay in one piece."""
    text_builder: TextBuilderSettings = field(default_factory=TextBuilderSettings)
    train_file: Path | None = None
    """Where the training text is written, one sentence per line."""

    def __post_init__(self) -> None:
        if self.vocab_size < 4:
            raise ValueError(
                f"vocab_size = {self.vocab_size}: must be at least 4, because <blank>, <unk> and "
                "<sos/eos> count"
            )
        if self.character_coverage is not None and not 0.0 < self.character_coverage <= 1.0:
            raise ValueError(f"character_coverage = {self.character_coverage}: must be in (0, 1]")

    @property
    def model_path(self) -> Path:
        """SentencePiece model."""
        return self.save_path / f"{self.model_type}.model"

    @property
    def token_list_path(self) -> Path:
        """Symbols of the network, one per line."""
        return self.save_path / "tokens.txt"

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The three files of a trained tokenizer."""
        vocabulary = self.save_path / f"{self.model_type}.vocab"
        return self.model_path, vocabulary, self.token_list_path

    def is_trained(self) -> bool:
        """Tell whether all files of the tokenizer exist."""
        return all(path.is_file() for path in self.files)

    def find_complaint(self) -> str | None:
        """Say what of a trained tokenizer contradicts the settings; ``None`` if nothing does."""
        if not self.is_trained():
            return None
        count = len(self.token_list_path.read_text(encoding="utf-8").splitlines())
        if count == self.vocab_size or (count < self.vocab_size and not self.hard_vocab_limit):
            return None
        return (
            f"{self.token_list_path} has {count} symbols, tokenizer.vocab_size = {self.vocab_size} "
            f"is not applied; delete {self.save_path} to train the tokenizer anew"
        )

    def trainer_options(self) -> dict[str, Any]:
        """Return the arguments of ``train_sentencepiece`` that the section sets."""
        options: dict[str, Any] = {
            "vocab_size": self.vocab_size,
            "model_type": self.model_type,
            "character_coverage": self.character_coverage,
            "user_defined_symbols": self.user_defined_symbols,
            "hard_vocab_limit": None if self.hard_vocab_limit else False,
        }
        return {name: value for name, value in options.items() if value is not None}
