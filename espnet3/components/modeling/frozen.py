"""Parameters that take part in the forward pass and are not trained."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from espnet3.utils.parameter_selector import select

logger = logging.getLogger(__name__)


class FrozenParts:
    """Freeze parameters of a model and keep fully frozen modules in evaluation mode.

    Args:
        model: Model whose parameters are changed in place.
        selectors: Dotted fragments of parameter names; empty freezes nothing.

    Raises:
        SettingError: If a selector matches nothing.
    """

    def __init__(self, model: nn.Module, selectors: Sequence[str]) -> None:
        self._modules: list[nn.Module] = []
        if not selectors:
            return
        names = set(select([n for n, _ in model.named_parameters()], selectors, key="freeze"))
        for name, parameter in model.named_parameters():
            if name in names:
                parameter.requires_grad_(False)
        for module in model.modules():
            own = list(module.parameters())
            if own and not any(p.requires_grad for p in own):
                self._modules.append(module)
        self.enforce()
        logger.info("Frozen: %d parameter tensors (%s)", len(names), ", ".join(selectors))

    def enforce(self) -> None:
        """Put frozen modules back into evaluation mode (no dropout, no running statistics)."""
        for module in self._modules:
            module.eval()
