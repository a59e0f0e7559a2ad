"""Speech to text with a trained model."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from espnet3.components.text import SentencepiecesTokenizer
from espnet3.errors import ConfigError, DataError, SettingError, did_you_mean
from espnet3.systems.asr.decoding import Hypothesis, ctc_greedy, ctc_prefix_beam
from espnet3.systems.asr.settings import TokenizerSettings
from espnet3.systems.asr.tokenizers.token_joiner import TokenJoiner
from espnet3.systems.base.train_config import load_train_config
from espnet3.utils.import_utils import trusted_target
from espnet3.utils.instantiate import instantiate_config
from espnet3.utils.printable import printable
from espnet3.utils.settings import parse_settings
from espnet3.utils.types import PathLike
from espnet3.utils.weights_utils import load_weights

logger = logging.getLogger(__name__)

# Shapes: B batch, S samples, T frames, V vocabulary

Waveform: TypeAlias = "np.ndarray[Any, Any] | Tensor"
Result: TypeAlias = tuple[str, list[str], list[int], float]
"""Text, tokens, token ids and natural log-probability of one hypothesis."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_DECODERS = ("ctc_greedy", "ctc_prefix_beam")
_SILENT = frozenset({"<blank>", "<sos/eos>"})


class _Joiner(Protocol):
    def tokens2text(self, tokens: list[str]) -> str: ...


@trusted_target
class SpeechRecognizer:
    """Transcribe waveforms with the model of a training run or bundle.

    Args:
        train_config: ``<exp_dir>/training.yaml`` (or its contents); its ``model`` section says
            what to build, its ``tokenizer`` section how tokens become text.
        model_file: Weights: ``.pth``, ``.ckpt`` or ``.safetensors``.
        device: Device of the model, for example ``cpu`` or ``cuda:0``.
        dtype: ``float32``, or ``bfloat16`` or ``float16`` for autocast.
        decode: ``ctc_greedy`` or ``ctc_prefix_beam``.
        beam_size: Prefixes kept by the beam search.
        nbest: Hypotheses per utterance; more than 1 needs the beam search.
        batch_size: Most utterances in one forward pass; ``None`` for no limit.
        recipe_dir: Where relative paths of ``train_config`` start; found from the file when
            ``None``, see :func:`~espnet3.systems.base.train_config.load_train_config`.

    Raises:
        ConfigError: If an argument or the configuration is wrong.
        WeightsError: If the weights do not fit the model.
    """

    thread_safe = True
    """Nothing is changed by a call, so sessions need not wait for each other."""

    def __init__(
        self,
        train_config: PathLike | Mapping[str, Any],
        model_file: PathLike,
        device: str = "cpu",
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        decode: Literal["ctc_greedy", "ctc_prefix_beam"] = "ctc_greedy",
        beam_size: int = 8,
        nbest: int = 1,
        batch_size: int | None = None,
        recipe_dir: PathLike | None = None,
    ) -> None:
        _check_choice("dtype", dtype, tuple(_DTYPES))
        _check_choice("decode", decode, _DECODERS)
        if nbest > 1 and decode == "ctc_greedy":
            raise SettingError("needs decode: ctc_prefix_beam", key="nbest", value=nbest)
        if batch_size is not None and batch_size < 1:
            raise SettingError("must be at least 1", key="batch_size", value=batch_size)
        config = load_train_config(train_config, recipe_dir, sections=("tokenizer",))
        self.model = _build_model(config["model"])
        load_weights(self.model, model_file)
        self.device = torch.device(device)
        self.model.to(self.device).eval().requires_grad_(False)
        self.token_list = tuple(cast(Any, self.model).token_list)
        self.dtype = _DTYPES[dtype]
        self.decode = decode
        self.beam_size = beam_size
        self.nbest = nbest
        self.batch_size = batch_size
        self._joiner = _build_joiner(config.get("tokenizer"), self.token_list)
        logger.info(
            "Recogniser ready: weights=%s device=%s decode=%s symbols=%d",
            printable(model_file),
            self.device,
            decode,
            len(self.token_list),
        )

    @property
    def sample_rate(self) -> int | None:
        """Samples per second that the front end expects; ``None`` when it does not say."""
        rate: int | None = getattr(getattr(self.model, "frontend", None), "fs", None)
        return rate

    def __call__(self, speech: Waveform | Sequence[Waveform]) -> Any:
        """Transcribe one waveform, or a list of them as :meth:`batch` does.

        Args:
            speech: Mono samples, shape (S,): float in [-1, 1], or int16.

        Returns:
            Hypotheses ``(text, tokens, token_ids, score)``, best first; ``[0][0]`` is the text.

        Raises:
            DataError: If the samples are not mono or of another type.
        """
        if isinstance(speech, list | tuple):
            return self.batch(speech)
        return self.batch([cast(Waveform, speech)])[0]

    @torch.inference_mode()
    def batch(self, speech: Sequence[Waveform]) -> list[list[Result]]:
        """Transcribe several waveforms; each result equals that of the waveform alone.

        Args:
            speech: Waveforms as :meth:`__call__` takes them.

        Returns:
            One list of hypotheses per waveform, in the order given.
        """
        waveforms = [_to_float(item) for item in speech]
        # Neighbours of similar length waste little on padding.
        order = sorted(range(len(waveforms)), key=lambda i: -waveforms[i].shape[0])
        step = self.batch_size or max(1, len(order))
        results: dict[int, list[Result]] = {}
        for start in range(0, len(order), step):
            chosen = order[start : start + step]
            hypotheses = self._decode([waveforms[i] for i in chosen])
            for index, found in zip(chosen, hypotheses, strict=True):
                results[index] = [self._to_result(hypothesis) for hypothesis in found]
        return [results[index] for index in range(len(waveforms))]

    def _decode(self, waveforms: list[Tensor]) -> list[list[Hypothesis]]:
        lengths_B = torch.tensor([len(w) for w in waveforms]).to(self.device)
        speech_BS = nn.utils.rnn.pad_sequence(waveforms, batch_first=True).to(self.device)
        model = cast(Any, self.model)
        with self._autocast():
            log_probs_BTV, frames_B = model.log_probs(speech_BS, lengths_B)
        if self.decode == "ctc_greedy":
            best = ctc_greedy(log_probs_BTV, frames_B, blank_id=model.blank_id)
            return [[hypothesis] for hypothesis in best]
        return ctc_prefix_beam(
            log_probs_BTV,
            frames_B,
            beam_size=self.beam_size,
            nbest=self.nbest,
            blank_id=model.blank_id,
        )

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _to_result(self, hypothesis: Hypothesis) -> Result:
        ids = list(hypothesis.token_ids)
        tokens = [self.token_list[i] for i in ids]
        spoken = [token for token in tokens if token not in _SILENT]
        return self._joiner.tokens2text(spoken), tokens, ids, hypothesis.score


def _build_model(section: Mapping[str, Any]) -> nn.Module:
    model = instantiate_config(section, key="model")
    lacking = [n for n in ("log_probs", "token_list", "blank_id") if not hasattr(model, n)]
    if lacking:
        raise ConfigError(
            f"{type(model).__name__} has no {lacking[0]}, so SpeechRecognizer cannot decode it",
            key="model._target_",
            hint="use ASRModel, or name a recogniser of your own in inference.yaml",
        )
    if model.token_list is None:
        raise ConfigError("must be set to decode text", key="model.token_list")
    return cast(nn.Module, model)


def _build_joiner(section: Any, token_list: Sequence[str]) -> _Joiner:
    """Join tokens with the trained tokenizer; without its file, as the token list suggests."""
    if section is not None:
        settings = parse_settings(section, TokenizerSettings, key="tokenizer")
        if settings.model_path.is_file():
            return SentencepiecesTokenizer(settings.model_path)
        logger.info(
            "No tokenizer at %s; joining tokens by their form", printable(settings.model_path)
        )
    return TokenJoiner(token_list)


def _check_choice(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        hint = did_you_mean(value, known) or "known values: " + ", ".join(known)
        raise ConfigError("is not a known value", key=key, value=value, hint=hint)


def _to_float(speech: Waveform) -> Tensor:
    """Return mono float32 samples on the CPU."""
    if not isinstance(speech, np.ndarray | Tensor):
        raise DataError(f"speech must be an array or tensor, got {type(speech).__name__}")
    samples = torch.as_tensor(np.array(speech) if isinstance(speech, np.ndarray) else speech).cpu()
    if samples.ndim != 1:
        raise DataError(
            f"speech has shape {tuple(samples.shape)}; mono samples of shape (samples,) are "
            "expected\n  pick or average the channels of (samples, channels) first"
        )
    if samples.dtype == torch.int16:
        return samples.float() / 32768.0
    if not samples.is_floating_point():
        raise DataError(f"speech has type {samples.dtype}; expected float or int16")
    return samples.float()
