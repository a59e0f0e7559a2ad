"""Keep batches whose loss is not finite away from the weights, on all ranks alike.

On a CPU the loss is at hand and a bad batch is skipped at once. On an accelerator reading it would
stall the queue of kernels; there the flag stays on the device, the update of the step is cancelled
on the device, and the host looks at the flag one step later to count and to warn.
"""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import torch
import torch.distributed
from torch import Tensor
from torch.optim import Optimizer

logger = logging.getLogger(__name__)

MAX_CONSECUTIVE = 100


class BatchPlace(NamedTuple):
    """Which batch it was, for messages."""

    epoch: int
    batch_idx: int
    uids: tuple[str, ...] = ()


class LossGuard:
    """Count invalid losses and cancel the updates that they would cause.

    Attributes:
        countdown: Invalid batches in a row; 1 after a valid one, 0 before the first batch.
        skipped: Invalid training batches so far.
    """

    def __init__(self) -> None:
        self.countdown = 0
        self.skipped = 0
        self._pending: tuple[_HostFlag, BatchPlace] | None = None
        self._window: _HostFlag | None = None

    def flag(self, loss: Tensor) -> bool | Tensor:
        """Tell whether any rank's loss is not finite.

        Returns:
            On a CPU the answer; on an accelerator a boolean tensor of shape ``()``, not yet known
            to the host.
        """
        is_on_cpu = loss.device.type == "cpu"
        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            return not math.isfinite(loss.item()) if is_on_cpu else ~torch.isfinite(loss.detach())
        worst = (~torch.isfinite(loss.detach())).to(torch.float32)
        torch.distributed.all_reduce(worst, op=torch.distributed.ReduceOp.MAX)
        return bool(worst) if is_on_cpu else worst > 0

    def settle(self, is_invalid: bool, place: BatchPlace) -> None:
        """Count one training batch.

        Raises:
            RuntimeError: If this is one invalid batch in a row too many.
        """
        if not is_invalid:
            self.countdown = 1
            return
        self.skipped += 1
        logger.warning(
            "Skipped a batch whose loss is not finite: epoch=%d batch=%d utterances=%s total=%d",
            place.epoch,
            place.batch_idx,
            ",".join(place.uids[:8]) + (",…" if len(place.uids) > 8 else ""),
            self.skipped,
        )
        if self.countdown >= MAX_CONSECUTIVE:
            raise RuntimeError(
                f"Too many NaNs loss iterations encountered, stopping! ({self.countdown} in a row,"
                f" {self.skipped} in all; the last one in epoch {place.epoch})\n"
                "  lower the learning rate, clip gradients, or look at the utterances named above"
            )
        self.countdown += 1

    def defer(self, flag: Tensor, place: BatchPlace) -> None:
        """Remember the flag of this step, and count the step before it."""
        self.flush()
        host = _HostFlag(flag)
        self._pending = (host, place)
        self._window = host if self._window is None else _HostFlag(self._window.flag | flag)

    def flush(self) -> None:
        """Count the step that is still waiting, if there is one."""
        if self._pending is not None:
            (host, place), self._pending = self._pending, None
            self.settle(host.read(), place)

    def neutralise(self, optimizer: Optimizer) -> None:
        """Make the coming ``optimizer.step()`` leave weights and moments alone if a flag is set.

        Fused optimizers decide on the device. Others have no such switch: for them the host waits
        until the forward pass is done (not the backward pass) and drops the gradients.
        """
        if self._window is None:
            return
        window, self._window = self._window, None
        if all(group.get("fused") for group in optimizer.param_groups):
            # The switch that gradient scaling uses: the kernel returns early where it is 1.
            optimizer.found_inf = window.flag.to(torch.float32)  # type: ignore[attr-defined]
        elif window.read():
            optimizer.zero_grad(set_to_none=True)


class _HostFlag:
    """A flag on a device, on its way to the host."""

    def __init__(self, flag: Tensor) -> None:
        self.flag = flag
        self._arrived: torch.cuda.Event | None = None
        self._copy = flag
        if flag.is_cuda:
            self._copy = torch.empty((), dtype=torch.bool, pin_memory=True)
            self._copy.copy_(flag, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()

    def read(self) -> bool:
        """Return the flag, waiting for the copy and nothing that was queued after it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return bool(self._copy)
