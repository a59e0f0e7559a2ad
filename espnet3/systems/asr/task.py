"""ESPnet2's speech recognition task under a name of ours, for ``task:`` in ``training.yaml``."""

from __future__ import annotations

from typing import Any

from espnet3.utils.espnet2_bridge import require_espnet2

_espnet2: Any = require_espnet2(__name__, "espnet2.tasks.asr")


class ASRTask(_espnet2.ASRTask):
    """Build hybrid CTC and attention models, and transducers, from ESPnet2's parts.

    Options, defaults and registries of parts are those of the installed version of ESPnet2.
    """
