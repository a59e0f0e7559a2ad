"""Speech recognition on a handful of real utterances."""

from __future__ import annotations
