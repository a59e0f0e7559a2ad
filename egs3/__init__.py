"""Recipes: folders with configuration and a little code."""

from __future__ import annotations
