"""Building blocks of neural networks."""

from __future__ import annotations

from espnet3.components.layers.conformer import ConformerEncoder
from espnet3.components.layers.ctc import CTCHead
from espnet3.components.layers.frontend import LogMelFrontend
from espnet3.components.layers.normalize import GlobalMVN, UtteranceMVN
from espnet3.components.layers.speaker_perturb import SpeakerPerturb
from espnet3.components.layers.specaug import SpecAug

__all__ = [
    "CTCHead",
    "ConformerEncoder",
    "GlobalMVN",
    "LogMelFrontend",
    "SpeakerPerturb",
    "SpecAug",
    "UtteranceMVN",
]
