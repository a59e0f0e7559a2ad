"""From raw samples to what a model takes: float speech and token ids."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from espnet3.components.text import TokenIDConverter, build_tokenizer
from espnet3.errors import DataError, MissingConfigError
from espnet3.utils.import_utils import trusted_target


class AbsPreprocessor(ABC):
    """Base of preprocessors that are called with the utterance id and the sample.

    Args:
        train: Whether augmentation is wanted.
    """

    def __init__(self, train: bool) -> None:
        self.train = train

    @abstractmethod
    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Return the processed sample. A parameter ``rng`` receives a ``numpy`` generator."""


@trusted_target
class CommonPreprocessor(AbsPreprocessor):
    """Turn text into token ids and speech into float32.

    Args:
        train: Kept for preprocessors that augment; this one does the same in both cases.
        token_type: ``bpe``, ``char`` or ``word``; ``None`` leaves text alone.
        token_list: Path or symbols of the vocabulary.
        bpemodel: SentencePiece model for ``bpe``.
        unk_symbol: Symbol of unknown tokens.
        space_symbol: Symbol of ``char`` for a space.
        non_linguistic_symbols: Symbols that ``char`` keeps whole.
        speech_name: Key of the waveform.
        text_name: Key of the transcript.
        speech_volume_normalize: Peak amplitude to scale speech to; ``None`` keeps it.
        fs: Sample rate in Hz that a sample with a key ``fs`` must have; ``None`` does not check.

    Raises:
        MissingConfigError: If ``token_type`` is given without ``token_list``.
    """

    def __init__(
        self,
        train: bool,
        token_type: Literal["bpe", "char", "word"] | None = None,
        token_list: str | os.PathLike[str] | Iterable[str] | None = None,
        bpemodel: str | os.PathLike[str] | None = None,
        unk_symbol: str = "<unk>",
        space_symbol: str = "<space>",
        non_linguistic_symbols: str | os.PathLike[str] | Iterable[str] | None = None,
        speech_name: str = "speech",
        text_name: str = "text",
        speech_volume_normalize: float | None = None,
        fs: int | None = None,
    ) -> None:
        super().__init__(train)
        self.speech_name = speech_name
        self.text_name = text_name
        self.speech_volume_normalize = speech_volume_normalize
        self.fs = fs
        self.tokenizer = None
        if token_type is not None:
            if token_list is None:
                raise MissingConfigError(
                    "token_type needs a token_list", key="preprocessor.token_list"
                )
            self.tokenizer = build_tokenizer(
                token_type,
                bpemodel=bpemodel,
                space_symbol=space_symbol,
                non_linguistic_symbols=non_linguistic_symbols,
            )
            self.converter = TokenIDConverter(token_list, unk_symbol)

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Return a new sample: ``speech`` float32 ``(S,)``, ``text`` int64 ids ``(U,)``.

        Integer waveforms are scaled to [-1, 1). Other keys pass through.
        """
        if self.fs is not None and data.get("fs", self.fs) != self.fs:
            raise DataError(f"utterance {uid!r} has {data['fs']} Hz, the recipe expects {self.fs}")
        sample = dict(data)
        if self.speech_name in sample:
            sample[self.speech_name] = self._process_speech(sample[self.speech_name])
        text = sample.get(self.text_name)
        if self.tokenizer is not None and isinstance(text, str):
            ids = self.converter.tokens2ids(self.tokenizer.text2tokens(text))
            sample[self.text_name] = np.array(ids, dtype=np.int64)
        return sample

    def _process_speech(self, speech: Any) -> np.ndarray:
        array = np.asarray(speech)
        if array.dtype.kind == "i":
            array = array.astype(np.float32) / -float(np.iinfo(array.dtype).min)
        array = array.astype(np.float32, copy=False)
        if self.speech_volume_normalize is not None and array.size:
            peak = float(np.abs(array).max())
            if peak > 0:
                array = array * np.float32(self.speech_volume_normalize / peak)
        return array
