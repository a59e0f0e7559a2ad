"""The part train-clean-100 of LibriSpeech."""

from __future__ import annotations
