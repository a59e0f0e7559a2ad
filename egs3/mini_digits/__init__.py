"""Synthesised English digits."""

from __future__ import annotations
