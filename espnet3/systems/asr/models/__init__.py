"""Networks for speech recognition."""

from __future__ import annotations

from espnet3.systems.asr.models.asr_model import ASRModel

__all__ = ["ASRModel"]
