"""Eight utterances of the AN4 database."""

from __future__ import annotations
