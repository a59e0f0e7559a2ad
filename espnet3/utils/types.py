"""Type aliases whose names carry a unit."""

from __future__ import annotations

import os
from typing import TypeAlias

PathLike: TypeAlias = str | os.PathLike[str]
"""A path as a user writes it; converted to :class:`pathlib.Path` at the edge."""
Seconds: TypeAlias = float
Hz: TypeAlias = int
"""Samples per second."""
UttId: TypeAlias = str
"""Stable identifier of one utterance."""
