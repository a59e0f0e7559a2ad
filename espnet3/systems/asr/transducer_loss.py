"""Let ESPnet2's transducers train without ``warprnnt_pytorch``, which is on no registry.

ESPnet2 brings a second implementation of the loss (Graves, "Sequence Transduction with Recurrent
Neural Networks", 2012), compiled by numba; only its multi-blank transducers use it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from espnet3.utils.espnet2_bridge import require_espnet2
from espnet3.utils.import_utils import is_available

_PACKAGE = "warprnnt_pytorch"
_ESPNET2 = "espnet2.asr"
_registry_lock = threading.RLock()


def needs_substitute() -> bool:
    """Tell whether the loss that ESPnet2 asks for is absent."""
    return not is_available(_PACKAGE)


def build_loss(blank_id: int, fastemit_lambda: float = 0.0) -> Any:
    """Return the loss: called with logits ``(B, T, U + 1, V)``, labels, frames and label counts.

    Args:
        blank_id: Index of the blank.
        fastemit_lambda: Weight of the FastEmit regularisation.
    """
    losses = require_espnet2(
        "the transducer loss", f"{_ESPNET2}.transducer.rnnt_multi_blank.rnnt_multi_blank"
    )
    return losses.RNNTLossNumba(blank=blank_id, reduction="mean", fastemit_lambda=fastemit_lambda)


@contextlib.contextmanager
def substituted_model(choices: Any) -> Iterator[None]:
    """Have a registry of ESPnet2 build transducers whose loss is that of :func:`build_loss`.

    Args:
        choices: ``model_choices`` of the task.
    """
    with _registry_lock:
        original = choices.classes["espnet"]
        choices.classes["espnet"] = _model_class(original)
        try:
            yield
        finally:
            choices.classes["espnet"] = original


def _model_class(base: Any) -> Any:
    calculators = require_espnet2("the transducer loss", f"{_ESPNET2}.transducer.error_calculator")

    class TransducerModel(base):  # type: ignore[misc]
        """The model of ESPnet2, made as one with attention and given the parts of a transducer."""

        def __init__(
            self,
            *,
            joint_network: Any,
            decoder: Any,
            report_cer: bool = True,
            report_wer: bool = True,
            **options: Any,
        ) -> None:
            super().__init__(
                joint_network=None, decoder=decoder, report_cer=False, report_wer=False, **options
            )
            del self.criterion_att
            self.use_transducer_decoder = True
            self.decoder, self.joint_network = decoder, joint_network
            self.criterion_transducer = build_loss(self.blank_id)
            self.error_calculator_trans = None
            if report_cer or report_wer:
                self.error_calculator_trans = calculators.ErrorCalculatorTransducer(
                    decoder,
                    joint_network,
                    self.token_list,
                    options.get("sym_space", "<space>"),
                    options.get("sym_blank", "<blank>"),
                    report_cer=report_cer,
                    report_wer=report_wer,
                )

    return TransducerModel
