"""Code of this recipe that its configuration names."""

from __future__ import annotations
