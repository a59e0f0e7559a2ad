"""Speech recognition on 100 hours of read English."""

from __future__ import annotations
