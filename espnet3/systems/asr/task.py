"""ESPnet2's speech recognition task under a name of ours, for ``task:`` in ``training.yaml``."""

from __future__ import annotations

from typing import Any

from espnet3.systems.asr.transducer_loss import needs_substitute, substituted_model
from espnet3.utils.espnet2_bridge import require_espnet2

_espnet2: Any = require_espnet2(__name__, "espnet2.tasks.asr")


class ASRTask(_espnet2.ASRTask):
    """Build hybrid CTC and attention models, and transducers, from ESPnet2's parts.

    Options, defaults and registries of parts are those of the installed version of ESPnet2.
    """

    @classmethod
    def build_model(cls, args: Any) -> Any:
        """Build the model; a transducer has a loss also where ``warprnnt_pytorch`` is absent."""
        is_plain = not args.model_conf.get("transducer_multi_blank_durations")
        if args.decoder != "transducer" or not is_plain or not needs_substitute():
            return super().build_model(args)
        with substituted_model(_espnet2.model_choices):
            return super().build_model(args)
