"""Strings of digits, learned in two phases: short and clean ones first."""

from __future__ import annotations
