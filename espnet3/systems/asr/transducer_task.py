"""ESPnet2's transducer task under a name of ours, for ``task:`` in ``training.yaml``."""

from __future__ import annotations

from typing import Any

from espnet3.systems.asr.transducer_loss import build_loss, needs_substitute
from espnet3.utils.espnet2_bridge import require_espnet2

_espnet2: Any = require_espnet2(__name__, "espnet2.tasks.asr_transducer")


class ASRTransducerTask(_espnet2.ASRTransducerTask):
    """Build stand-alone transducer models from ESPnet2's parts.

    Options, defaults and registries of parts are those of the installed version of ESPnet2.
    """

    @classmethod
    def build_model(cls, args: Any) -> Any:
        """Build the model, with a loss also where ``warprnnt_pytorch`` is absent."""
        model = super().build_model(args)
        if needs_substitute() and not model.use_k2_pruned_loss:
            model.criterion_transducer = build_loss(0, model.fastemit_lambda)
        return model
