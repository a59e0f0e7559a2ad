"""From log-probabilities to label sequences."""

from __future__ import annotations

from espnet3.systems.asr.decoding.greedy import ctc_greedy
from espnet3.systems.asr.decoding.hypothesis import Hypothesis
from espnet3.systems.asr.decoding.prefix_beam import ctc_prefix_beam

__all__ = ["Hypothesis", "ctc_greedy", "ctc_prefix_beam"]
