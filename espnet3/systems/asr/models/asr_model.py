"""The native speech recognition model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, cast

from torch import Tensor, nn

from espnet3.components.layers import CTCHead
from espnet3.components.layers.ctc import count_infeasible
from espnet3.components.text import TokenIDConverter
from espnet3.errors import ConfigError, MissingConfigError, SettingError
from espnet3.systems.asr.decoding import ctc_greedy
from espnet3.systems.asr.models.error_rates import ErrorRates
from espnet3.systems.asr.models.parts import build_part
from espnet3.utils.import_utils import trusted_target

logger = logging.getLogger(__name__)

# Shapes: B batch, S samples, T frames, F features, U output tokens, D model dim, V vocabulary

Part = nn.Module | Mapping[str, Any] | None


@trusted_target
class ASRModel(nn.Module):
    """Recognise speech with an encoder and a CTC head.

    The waveform goes through front end, SpecAugment (in training), normalisation, encoder and
    head. Each part is a module or a mapping with a short ``type``, for example
    ``{type: conformer, output_size: 256}``; the encoder's ``input_size`` follows from the front
    end.

    Args:
        token_list: File with one symbol per line, or the symbols. Kept as ``token_list``.
        vocab_size: Number of symbols; only needed without ``token_list``.
        frontend: ``log_mel``; without one, ``speech`` holds features of shape (B, T, F) and the
            encoder mapping must give ``input_size``.
        specaug: ``specaug``.
        normalize: ``global_mvn`` or ``utterance_mvn``; may be absent.
        encoder: ``conformer``. Required.
        sym_blank: Symbol of the CTC blank; its place in ``token_list`` is its id.
        report_cer: Decode in evaluation mode and report error rates.
        extract_feats_in_collect_stats: Collect statistics of features; otherwise of waveforms,
            which is faster where only lengths are needed.

    Raises:
        ConfigError: If the parts, the vocabulary or their sizes do not fit together.
    """

    def __init__(
        self,
        token_list: str | PathLike[str] | Sequence[str] | None = None,
        vocab_size: int | None = None,
        frontend: Part = None,
        specaug: Part = None,
        normalize: Part = None,
        encoder: Part = None,
        sym_blank: str = "<blank>",
        report_cer: bool = True,
        extract_feats_in_collect_stats: bool = True,
    ) -> None:
        super().__init__()
        self.token_list = _read_token_list(token_list)
        size = _resolve_vocab_size(self.token_list, vocab_size)
        self.blank_id = _find_blank(self.token_list, sym_blank)
        self.frontend = build_part("frontend", frontend)
        feature_size = None if self.frontend is None else _output_size(self.frontend)
        self.specaug = build_part("specaug", specaug)
        self.normalize = build_part("normalize", normalize, feature_size=feature_size)
        built_encoder = build_part("encoder", encoder, feature_size=feature_size)
        if built_encoder is None:
            raise MissingConfigError("must be set", key="model.encoder")
        self.encoder = built_encoder
        self.ctc = CTCHead(size, _output_size(self.encoder), blank_id=self.blank_id)
        self.extract_feats_in_collect_stats = extract_feats_in_collect_stats
        self._error_rates = None
        if report_cer and self.token_list is not None:
            self._error_rates = ErrorRates(self.token_list)

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        **_: Any,
    ) -> tuple[Tensor, dict[str, Tensor | float], int]:
        """Compute the training loss of a batch.

        Args:
            speech: Waveforms in [-1, 1], float, shape (B, S), zero-padded.
            speech_lengths: Samples of each utterance, int64, shape (B,).
            text: Token ids, int64, shape (B, U), padded with any negative number.
            text_lengths: Tokens of each utterance, int64, shape (B,).

        Returns:
            The scalar loss; statistics: ``loss``, ``loss_ctc``, ``ctc_infeasible`` (share of
            utterances with more labels than frames) and, in evaluation mode, ``cer_ctc`` and
            ``wer`` in percent; and the batch size as weight.
        """
        hidden, lengths = self.encode(speech, speech_lengths)
        loss, log_probs = self.ctc(hidden, lengths, text, text_lengths)
        infeasible = count_infeasible(lengths, text, text_lengths)
        batch_size = text.shape[0]
        stats: dict[str, Tensor | float] = {
            "loss": loss.detach(),
            "loss_ctc": loss.detach(),
            "ctc_infeasible": infeasible / batch_size,
        }
        if not self.training:
            self._warn_infeasible(int(infeasible), batch_size)
            if self._error_rates is not None:
                hypotheses = ctc_greedy(log_probs.detach(), lengths, blank_id=self.blank_id)
                hyps = [h.token_ids for h in hypotheses]
                stats.update(self._error_rates(hyps, text, text_lengths))
        return loss, stats, batch_size

    def encode(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden frames of shape (B, T, D) and their number, shape (B,)."""
        feats, lengths = self._extract(speech, speech_lengths)
        if self.specaug is not None:
            feats, lengths = self.specaug(feats, lengths)
        if self.normalize is not None:
            feats, lengths = self.normalize(feats, lengths)
        return cast(tuple[Tensor, Tensor], self.encoder(feats, lengths))

    def log_probs(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return CTC log-probabilities of shape (B, T, V) and the frames, shape (B,)."""
        hidden, lengths = self.encode(speech, speech_lengths)
        return self.ctc.log_probs(hidden), lengths

    def collect_feats(self, speech: Tensor, speech_lengths: Tensor, **_: Any) -> dict[str, Tensor]:
        """Return what ``collect_stats`` measures: features before SpecAugment and normalisation.

        Returns:
            ``feats`` of shape (B, T, F), or the padded waveform of shape (B, S) with
            ``extract_feats_in_collect_stats: false``, and ``feats_lengths`` of shape (B,).
        """
        if self.extract_feats_in_collect_stats:
            speech, speech_lengths = self._extract(speech, speech_lengths)
        return {"feats": speech, "feats_lengths": speech_lengths}

    def _extract(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        if self.frontend is None:
            return speech, speech_lengths
        return cast(tuple[Tensor, Tensor], self.frontend(speech, speech_lengths))

    def _warn_infeasible(self, count: int, batch_size: int) -> None:
        if count:
            logger.warning(
                "%d of %d utterances have more labels than encoder frames; they do not count in "
                "the loss (use longer audio, fewer or larger units, or less subsampling)",
                count,
                batch_size,
            )


def _read_token_list(
    token_list: str | PathLike[str] | Sequence[str] | None,
) -> tuple[str, ...] | None:
    if token_list is None:
        return None
    try:
        return tuple(TokenIDConverter(token_list).token_list)
    except FileNotFoundError as error:
        raise MissingConfigError(
            "no such file", key="model.token_list", value=str(token_list), hint=str(error)
        ) from error


def _resolve_vocab_size(token_list: tuple[str, ...] | None, vocab_size: int | None) -> int:
    if token_list is None and vocab_size is None:
        raise MissingConfigError("set token_list, or vocab_size without one", key="model")
    if token_list is None:
        return cast(int, vocab_size)
    if vocab_size not in (None, len(token_list)):
        raise SettingError(
            f"token_list has {len(token_list)} symbols", key="model.vocab_size", value=vocab_size
        )
    return len(token_list)


def _find_blank(token_list: tuple[str, ...] | None, sym_blank: str) -> int:
    if token_list is None:
        return 0
    if sym_blank not in token_list:
        raise ConfigError("is not in token_list", key="model.sym_blank", value=sym_blank)
    return token_list.index(sym_blank)


def _output_size(part: nn.Module) -> int:
    """Ask a part for the size of its last axis."""
    output_size = cast(Any, part).output_size
    size = output_size() if callable(output_size) else output_size
    return int(size)
