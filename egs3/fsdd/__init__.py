"""Free Spoken Digit Dataset."""

from __future__ import annotations
