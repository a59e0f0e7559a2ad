"""Speech recognition on real digits."""

from __future__ import annotations
