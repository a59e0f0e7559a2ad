"""Speech recognition on synthesised digits."""

from __future__ import annotations
