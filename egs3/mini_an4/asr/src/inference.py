"""What ``infer`` stores for each utterance."""

from __future__ import annotations

from espnet3.systems.asr.outputs import build_output, build_output_transducer

__all__ = ["build_output", "build_output_transducer"]
